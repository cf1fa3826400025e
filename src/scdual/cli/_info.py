"""``scdual info``: what is in an annotated file or in the directory of a saved model."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scdual._constants import HISTORY_KEY, RESULT_KEYS

if TYPE_CHECKING:
    from anndata import AnnData

NOT_SHOWN = (HISTORY_KEY, "run")  # the losses, and the same as JSON, from which `SCDual.repeat` repeats the run

_NOT_TRAINED = {False: "no", True: "the network alone"}


def info(
    path: Annotated[
        Path,
        typer.Argument(metavar="PATH", help="An .h5ad file, or the directory of a saved model.", show_default=False),
    ],
) -> None:
    """Show what scdual has written into a file, or how a saved model was made."""
    from scdual.cli._tables import show_rows

    _check(path)
    rows = _model_rows(path) if path.is_dir() else _file_rows(path)
    show_rows(str(path), rows)


def _check(path: Path) -> None:
    """Raise an error if there is nothing, or a file out of the folder of a model."""
    from scdual._saved import CONTENT, PICKLE, WEIGHTS

    if not path.exists():
        msg = f"{path} does not exist, expected an .h5ad file or the folder of a saved model. Check the path."
        raise FileNotFoundError(msg)
    if path.is_file() and path.name.endswith((CONTENT, WEIGHTS, PICKLE)):
        msg = f"{path} is one file of a saved model, expected the folder it lies in. Give the folder {path.parent}."
        raise ValueError(msg)


def _file_rows(path: Path) -> dict[str, Any]:
    from scdual.cli._files import read_counts

    adata = read_counts(path, backed="r")
    parameters = adata.uns.get(RESULT_KEYS.PARAMETERS)
    parameters = parameters if isinstance(parameters, Mapping) else {}
    return {
        "cells": adata.n_obs,
        "genes": adata.n_vars,
        "layers": _names([name for name in adata.layers if name is not None]),  # None is X in anndata 0.13
        "results of scdual": _names(_result_keys(adata)) if _result_keys(adata) else f"none: scdual fit {path} -o OUT",
        **flat({name: value for name, value in parameters.items() if name not in NOT_SHOWN}),
    }


def _result_keys(adata: "AnnData") -> list[str]:
    """Return where the results of scdual are, as one writes them in Python."""
    rooms = {"obs": adata.obs, "obsm": adata.obsm, "var": adata.var, "varm": adata.varm, "varp": adata.varp}
    stems = tuple(RESULT_KEYS)
    return [f'{room}["{key}"]' for room, keys in rooms.items() for key in keys if str(key).startswith(stems)]


def _model_rows(path: Path) -> dict[str, Any]:
    """Return how a saved model was made. Nothing in the folder is run, and no pickle is opened.

    Raises
    ------
    ValueError
        If the directory holds no model in the format of scdual, a damaged one, or one of another class.
    """
    from scdual._saved import DATA, WEIGHTS, check_file, read_manifest

    manifest = read_manifest(path)
    content, files = manifest["content"], manifest["files"]
    check_file(path / WEIGHTS, files.get(WEIGHTS))
    attributes = content["attributes"]
    name = attributes["registry_"].get("model_name")
    if name != "SCDual":
        msg = f"{path} holds a model {name!r}, expected 'SCDual'. Open it with its own package."
        raise ValueError(msg)
    data = [name for name in DATA if name in files]
    return {
        "format version": manifest["version"],
        "genes": len(attributes["gene_names_"]),
        "trained": "yes" if attributes["is_trained_"] else _NOT_TRAINED[_knows_its_map(content["description"])],
        "data": data[0] if data else "not saved with it",
        **flat(content["description"]),
    }


def _knows_its_map(description: Mapping[str, Any]) -> bool:
    """Return whether the network alone was learnt."""
    return any(name.endswith("train_map") for name in description.get("trainings", {}))


def flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested dictionaries as one, with dots between the names."""
    rows: dict[str, Any] = {}
    for name, value in values.items():
        rows |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return rows


def _names(names: list[str]) -> str:
    return ", ".join(names) or "none"
