"""``scdual info``: what is in an annotated file or in the directory of a saved model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scdual._constants import RESULT_KEYS

if TYPE_CHECKING:
    from anndata import AnnData

_MODEL_FILE = "model.pt"


def info(
    path: Annotated[
        Path,
        typer.Argument(metavar="PATH", help="An .h5ad file, or the directory of a saved model.", show_default=False),
    ],
) -> None:
    """Show what scdual has written into a file, or how a saved model was made."""
    from scdual.cli._tables import show_rows

    rows = _model_rows(path) if path.is_dir() else _file_rows(path)
    show_rows(str(path), rows)


def _file_rows(path: Path) -> dict[str, Any]:
    from scdual.cli._files import read_counts

    adata = read_counts(path, backed="r")
    return {
        "cells": adata.n_obs,
        "genes": adata.n_vars,
        "layers": _names(list(adata.layers)),
        "results of scdual": _names(_result_keys(adata)) if _result_keys(adata) else f"none: scdual fit {path} -o OUT",
        **_flat(adata.uns.get(RESULT_KEYS.PARAMETERS, {})),
    }


def _result_keys(adata: "AnnData") -> list[str]:
    """Return where the results of scdual are, as one writes them in Python."""
    rooms = {"obs": adata.obs, "obsm": adata.obsm, "var": adata.var, "varm": adata.varm, "varp": adata.varp}
    stems = tuple(RESULT_KEYS)
    return [f'{room}["{key}"]' for room, keys in rooms.items() for key in keys if str(key).startswith(stems)]


def _model_rows(path: Path) -> dict[str, Any]:
    """Return how a saved model was made.

    Raises
    ------
    FileNotFoundError
        If the directory holds no model.
    ValueError
        If it holds a model of another class.
    """
    if not (path / _MODEL_FILE).is_file():
        msg = f"{path} holds no {_MODEL_FILE}, expected the directory of a saved model. Make one with --model-dir."
        raise FileNotFoundError(msg)
    attributes = _saved_attributes(path / _MODEL_FILE)
    registry = attributes.get("registry_", {})
    if registry.get("model_name") != "SCDual":
        msg = f"{path} holds a model {registry.get('model_name')!r}, expected 'SCDual'. Open it with its own package."
        raise ValueError(msg)
    arguments = attributes["init_params_"]
    return {
        "scvi-tools": registry["scvi_version"],
        **_flat(registry["setup_args"]),
        **_flat(arguments.get("non_kwargs", {})),
        **_flat(arguments.get("kwargs", {})),
    }


def _saved_attributes(path: Path) -> dict[str, Any]:
    """Return what scvi-tools keeps of a model beside its weights. Like loading the model, this trusts the file."""
    import pickle

    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=False)["attr_dict"]
    except (EOFError, KeyError, RuntimeError, TypeError, pickle.UnpicklingError) as error:
        msg = (
            f"{path} cannot be read as a saved model ({error}); expected a file written by `model.save`. Save it again."
        )
        raise ValueError(msg) from error


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested dictionaries as one, with dots between the names."""
    rows: dict[str, Any] = {}
    for name, value in values.items():
        rows |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return rows


def _names(names: list[str]) -> str:
    return ", ".join(names) or "none"
