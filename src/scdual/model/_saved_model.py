"""Read the folder of a saved model, in the format of scdual or, if it is trusted, of scvi-tools."""

import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from anndata import AnnData, read_h5ad
from mudata import MuData, read_h5mu
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from scvi import REGISTRY_KEYS

from scdual._checks import check_flag, check_type
from scdual._saved import CONTENT, DATA, PICKLE, WEIGHTS, check_file, check_folder, read_checked, read_manifest
from scdual._writing import finish_folder
from scdual.model._record import Record
from scdual.model._scvi import (
    FIELD_REGISTRIES_KEY,
    SETUP_METHOD_KEY,
    STATE_REGISTRY_KEY,
    checkpoints_read_by,
    read_pickled,
)
from scdual.module.map import KnownPairs
from scdual.nn import LatentPrior

State = dict[str, torch.Tensor]

_OF_THE_MAP = ("hiding.", "gene_embedding.", "expr_embedding.", "gene_branch.", "gate.", "expr_branch.")

_VERSION_OF_MIXTURE = 2
_N_COMPONENTS = 30  # the default, which a model of before is built with

# What a weight of the module was called: version of the format -> beginning of its name -> beginning in the next version.
RENAMED_WEIGHTS: dict[int, dict[str, str]] = {
    0: {
        **{name: f"map.{name}" for name in (*_OF_THE_MAP, "regulation_decoder.", "prior_")},
        **{name: f"map.values.{name}" for name in ("scale.", "mixture.", "regulator_index")},
    }
}


@dataclass(frozen=True)
class SavedModel:
    """What is in the folder of a model, apart from data.

    Attributes
    ----------
    folder, prefix
        Where it was read.
    attributes
        Attributes of the model whose names end with an underscore.
    state
        Weights and buffers of the module.
    data_file
        Description of the saved data; None if there are none, empty if there is nothing to compare them with.
    """

    folder: Path
    prefix: str
    attributes: dict[str, Any]
    state: State
    data_file: Mapping[str, Any] | None = None

    @property
    def registry(self) -> dict[str, Any]:
        """How the data were registered."""
        return self.attributes["registry_"]

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments with which the model was built."""
        given = self.attributes["init_params_"]
        further = {name: value for group in given["kwargs"].values() for name, value in group.items()}
        return given["non_kwargs"] | further

    @property
    def data_path(self) -> Path:
        """Where the data lie if they were saved."""
        return self.folder / f"{self.prefix}{data_name(self.registry)}"

    def read_data(self) -> AnnData | MuData | None:
        """Return the data that were saved with the model, None if there are none.

        Raises
        ------
        ValueError
            If they are not as they were written.
        """
        if self.data_file is None:
            return None
        if self.data_file:
            check_file(self.data_path, self.data_file)
        try:
            return read_h5mu(self.data_path) if self.data_path.suffix == ".h5mu" else read_h5ad(self.data_path)
        except (OSError, KeyError, ValueError) as error:
            msg = f"{self.data_path} cannot be read ({' '.join(str(error).split())}); pass the data as `adata`."
            raise ValueError(msg) from error


def read_saved(
    dir_path: str | PathLike[str],
    *,
    prefix: str | None = None,
    trust: bool = False,
    with_weights: bool = True,
    backup_url: str | None = None,
) -> SavedModel:
    """Return what is in the folder of a model.

    Parameters
    ----------
    dir_path
        Folder of the model.
    prefix
        What stands before the names of the files.
    trust
        Whether to open a pickle.
    with_weights
        Whether weights are read.
    backup_url
        Address of a pickle.

    Raises
    ------
    ValueError
        If there is no model, or it is damaged.
    """
    folder, start = checked_folder(dir_path), checked_prefix(prefix)
    check_flag("trust", trust)  # a text such as 'no' would open a pickle
    finish_folder(folder)
    if trust and not (folder / f"{start}{CONTENT}").exists():
        return _read_pickle(folder, start, backup_url)
    if backup_url is not None:
        msg = (
            "`backup_url` is the address of one file, a `model.pt`, but a model is a folder; download the folder first."
        )
        raise ValueError(msg)
    manifest = read_manifest(folder, prefix=start)
    try:
        return _from_manifest(folder, start, manifest, with_weights=with_weights)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        msg = f"{folder / (start + CONTENT)} lacks what scdual writes ({error!r}); take another copy of the folder."
        raise ValueError(msg) from error


@contextmanager
def checkpoints_are_folders() -> Iterator[None]:
    """Let the checkpoints of scvi-tools, which expect pickles, read the folders that SCDual saves."""

    def read(original: Callable[..., Any], dir_path: str, *args: Any, **kwargs: Any) -> Any:
        if not (Path(dir_path) / CONTENT).exists():
            return original(dir_path, *args, **kwargs)
        saved = read_saved(dir_path)
        return saved.attributes, saved.attributes["gene_names_"], saved.state, None

    with checkpoints_read_by(read):
        yield


def _from_manifest(folder: Path, prefix: str, manifest: Mapping[str, Any], *, with_weights: bool) -> SavedModel:
    content, files = manifest["content"], manifest["files"]
    attributes = dict(content["attributes"])
    attributes["record_"] = None if content["record"] is None else Record.from_plain(content["record"])
    state: State = {}
    if with_weights:
        tensors = _parse_tensors(folder / f"{prefix}{WEIGHTS}", files.get(WEIGHTS))
        tensors = {_name_today(name, manifest["version"]): values for name, values in tensors.items()}
        n_members = len({name.split(".")[1] for name in tensors if name.startswith("ensemble.")})
        attributes["ensemble_"] = [_with_pairs(_part(tensors, f"ensemble.{k}.")) for k in range(n_members)]
        attributes["null_"] = _with_pairs(_part(tensors, "null."))
        state = _with_cell_state(_with_pairs(_part(tensors, "module."), of="map."), manifest["version"])
    described = files.get(data_name(attributes["registry_"]))
    saved = SavedModel(folder, prefix, attributes, state, described)
    _check_consistency(saved)
    return saved


def _check_consistency(saved: SavedModel) -> None:
    """Raise ``ValueError`` if values are of other types than those that are saved, or contradict each other."""
    attributes, arguments = saved.attributes, saved.arguments
    genes, regulators = attributes["gene_names_"], attributes["regulators_"]
    registered = saved.registry[FIELD_REGISTRIES_KEY][REGISTRY_KEYS.X_KEY][STATE_REGISTRY_KEY]["column_names"]
    prior = arguments.get("prior")
    wrong = {
        "`gene_names_` are not the genes of the registry": genes != [str(name) for name in registered],
        "`regulators_` are not genes, or not those the model was built with": not isinstance(regulators, list)
        or not set(regulators) <= set(genes)
        or regulators != arguments["regulators"],
        f"`prior` is of type {type(prior).__name__}, expected a table or None": not (
            prior is None or isinstance(prior, Mapping | pd.DataFrame)
        ),
        f"`is_trained_` is {attributes['is_trained_']!r}, expected True or False": not isinstance(
            attributes["is_trained_"], bool
        ),
        "`get_normalized_function_name_` is another method": attributes["get_normalized_function_name_"]
        != "get_normalized_expression",
    }
    reason = next((reason for reason, is_wrong in wrong.items() if is_wrong), None)
    if reason is not None:
        path = saved.folder / f"{saved.prefix}{CONTENT}"
        msg = f"{path} holds values that scdual cannot have written ({reason}); take another copy of the folder, or save the model again."
        raise ValueError(msg)


def _read_pickle(folder: Path, prefix: str, backup_url: str | None) -> SavedModel:
    """Return what scvi-tools keeps of a model. This runs whatever code is in the file."""
    path = folder / f"{prefix}{PICKLE}"
    if backup_url is None and not path.is_file():
        check_folder(folder, prefix=prefix)
    try:
        attributes, _, state, _ = read_pickled(
            fspath(folder), False, prefix=prefix, map_location="cpu", backup_url=backup_url
        )
        state = {name: values for name, values in state.items() if name != "pyro_param_store"}
        renamed = _with_cell_state(_with_pairs(_renamed(state, "module"), of="map."), 0)
        attributes["ensemble_"] = [_with_pairs(_renamed(part, "null")) for part in attributes.get("ensemble_", [])]
        attributes["null_"] = _with_pairs(_renamed(attributes.get("null_", {}), "null"))
        is_model = {"registry_", "init_params_"} <= set(attributes)
    except (EOFError, KeyError, RuntimeError, TypeError, AttributeError, ValueError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())
        msg = f"{path} cannot be read as a model of scvi-tools ({reason}); take another copy of it."
        raise ValueError(msg) from error
    if not is_model:
        msg = f"{path} does not say how its data were registered and its model built; take another copy of it."
        raise ValueError(msg)
    has_data = (folder / f"{prefix}{data_name(attributes['registry_'])}").is_file()
    return SavedModel(folder, prefix, attributes, renamed, {} if has_data else None)


def _parse_tensors(path: Path, described: Mapping[str, Any] | None) -> State:
    content = read_checked(path, described)
    try:
        return read_tensors(content)
    except (SafetensorError, ValueError, KeyError) as error:
        msg = f"{path} is no file of safetensors ({error}); take another copy of the folder, or save the model again."
        raise ValueError(msg) from error


def _name_today(name: str, format_version: int) -> str:
    """Return what a weight is called in this version of the format.

    Members of an ensemble are maps. In version 0 their weights had the names they have in a module.
    """
    part, _, inside = name.partition(".")
    is_member = part != "module"
    if part == "ensemble":
        index, _, inside = inside.partition(".")
        part = f"{part}.{index}"
    if is_member and format_version > 0:
        inside = f"map.{inside}"
    for version in sorted(RENAMED_WEIGHTS):
        if version >= format_version:
            for old, new in RENAMED_WEIGHTS[version].items():
                if inside.startswith(old):
                    inside = f"{new}{inside.removeprefix(old)}"
                    break
    return f"{part}.{inside.removeprefix('map.') if is_member else inside}"


def _renamed(state: State, part: str) -> State:
    """Return the state of a module or of a member as it was in version 0 with the names of today."""
    return {_name_today(f"{part}.{name}", 0).removeprefix(f"{part}."): values for name, values in state.items()}


def _with_pairs(state: State, *, of: str = "") -> State:
    """Return a state with pairs of which nothing is known if it has none, as in version 0."""
    offset = state.get(f"{of}gate.pair_offset")
    if offset is None or f"{of}known.is_known" in state:
        return state
    return state | {f"{of}known.{name}": values for name, values in KnownPairs(*offset.shape).state_dict().items()}


def _with_cell_state(state: State, format_version: int) -> State:
    """Return a state with what cell states lack before version 2.

    Batches and covariates had no effect on single genes, and the prior of latent states was a standard normal
    distribution, so all components of the mixture are.
    """
    decoder, n_latent = "cell_state.decoder.", state.get("cell_state.posterior.mean_proj.bias")
    if format_version >= _VERSION_OF_MIXTURE or n_latent is None:
        return state
    prior = LatentPrior(len(n_latent), _N_COMPONENTS)
    prior.set_standard_normal()
    n_genes = len(state[f"{decoder}proportion_proj.bias"])
    tables = {name: values for name, values in state.items() if name.startswith(f"{decoder}effects.")}
    absent = {
        name.replace("effects", "gene_effects"): torch.zeros(len(table), n_genes) for name, table in tables.items()
    }
    return absent | {f"cell_state.prior.{name}": values for name, values in prior.state_dict().items()} | state


def _part(tensors: State, beginning: str) -> State:
    return {name.removeprefix(beginning): values for name, values in tensors.items() if name.startswith(beginning)}


def checked_folder(dir_path: str | PathLike[str], *, name: str = "dir_path") -> Path:
    """Return the path of a folder; raise ``TypeError`` if it is none."""
    check_type(name, dir_path, str, PathLike)
    return Path(dir_path)


def checked_prefix(prefix: str | None) -> str:
    if prefix is None:
        return ""
    if not isinstance(prefix, str) or Path(prefix).name != prefix and prefix != "":
        msg = f"`prefix` is {prefix!r}, expected the beginning of a file name, such as 'first_'; name folders in `dir_path`."
        raise ValueError(msg)
    return prefix


def data_name(registry: Mapping[str, Any]) -> str:
    return DATA[registry.get(SETUP_METHOD_KEY) == "setup_mudata"]
