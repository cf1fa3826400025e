"""Data that a datamodule brings: how they were registered, and whether they are those that a model knows."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from anndata.experimental import AnnCollection
from lightning import LightningDataModule
from scvi import REGISTRY_KEYS
from scvi.dataloaders import CollectionAdapter

from scdual._checks import listed
from scdual._warning import warn
from scdual.model._scvi import FIELD_REGISTRIES_KEY, SETUP_ARGS_KEY, SETUP_METHOD_KEY, STATE_REGISTRY_KEY

_SETUP_DATAMODULE = "setup_datamodule"
_ARGUMENTS = (  # of `setup_anndata` that a datamodule may name
    *("layer", "batch_key", "labels_key", "size_factor_key"),
    *("categorical_covariate_keys", "continuous_covariate_keys"),
)
_FIELDS = (
    *(REGISTRY_KEYS.X_KEY, REGISTRY_KEYS.BATCH_KEY, REGISTRY_KEYS.LABELS_KEY, REGISTRY_KEYS.SIZE_FACTOR_KEY),
    *(REGISTRY_KEYS.CAT_COVS_KEY, REGISTRY_KEYS.CONT_COVS_KEY),
)
_EMPTY: dict[str, Any] = {"data_registry": {}, STATE_REGISTRY_KEY: {}, "summary_stats": {}}
_WHAT = ("genes", "batches", "labels", "categorical covariates", "continuous covariates")
_MAPPING, _UNLABELED = "categorical_mapping", "unlabeled_category"


def own_registry(registry: Mapping[str, Any], *, model_name: str) -> dict[str, Any]:
    """Return a registry as `setup_anndata` would have made it, so that the model also takes AnnData with these genes.

    Parameters
    ----------
    registry
        Registry of a datamodule, or one that is of this kind already.
    model_name
        Class of the model.

    Raises
    ------
    ValueError
        If the registry names no genes.
    """
    fields = dict(registry.get(FIELD_REGISTRIES_KEY, {}))
    names = fields.get(REGISTRY_KEYS.X_KEY, {}).get(STATE_REGISTRY_KEY, {}).get("column_names")
    if names is None or not len(names):
        msg = "`registry` names no genes; pass that of a datamodule for counts, such as `datamodule.registry`."
        raise ValueError(msg)
    if registry.get(SETUP_METHOD_KEY) != _SETUP_DATAMODULE:
        return {**registry, "model_name": model_name}
    given = registry.get(SETUP_ARGS_KEY, {})
    arguments = {name: given.get(name) for name in _ARGUMENTS}
    fields = {key: _EMPTY | fields.get(key, {}) for key in _FIELDS}
    x_state = {**fields[REGISTRY_KEYS.X_KEY][STATE_REGISTRY_KEY], "column_names": np.asarray(names, dtype=object)}
    fields[REGISTRY_KEYS.X_KEY] = {**fields[REGISTRY_KEYS.X_KEY], STATE_REGISTRY_KEY: x_state}
    fields[REGISTRY_KEYS.BATCH_KEY] = _category(REGISTRY_KEYS.BATCH_KEY, arguments["batch_key"], fields, {})
    unlabeled = _unlabeled(fields[REGISTRY_KEYS.LABELS_KEY], arguments["labels_key"])
    state = {} if unlabeled is None else {_UNLABELED: unlabeled}
    fields[REGISTRY_KEYS.LABELS_KEY] = _category(REGISTRY_KEYS.LABELS_KEY, arguments["labels_key"], fields, state)
    fields[REGISTRY_KEYS.CAT_COVS_KEY] = _joint(fields[REGISTRY_KEYS.CAT_COVS_KEY])
    return {
        "scvi_version": registry.get("scvi_version"),
        "model_name": model_name,
        SETUP_ARGS_KEY: {**arguments, _UNLABELED: unlabeled},
        FIELD_REGISTRIES_KEY: fields,
        SETUP_METHOD_KEY: "setup_anndata",
    }


def check_no_collection(data: Any) -> None:
    """Raise a TypeError if data are a collection of AnnData, which give scvi-tools their layers, and these from memory alone."""
    if type(data) in (AnnCollection, CollectionAdapter):  # not isinstance: an adapter says that it is AnnData
        msg = (
            f"`adata` is of type {type(data).__name__}, which gives layers that lie in memory, but not X; join the files with "
            "`anndata.experimental.concat_on_disk` and open the result with `anndata.read_h5ad(..., backed='r')`."
        )
        raise TypeError(msg)


def check_datamodule(datamodule: LightningDataModule, known: Mapping[str, Any], *, has_data: bool) -> None:
    """Raise a ValueError unless a datamodule has the genes, batches, labels and covariates of a model.

    Parameters
    ----------
    datamodule
        Source of minibatches. One that does not say what it holds is taken at its word.
    known
        Registry of the model.
    has_data
        Whether the model has data of its own.
    """
    if has_data:
        msg = (
            "The model was built with data, so `datamodule` would leave these unread; leave it out, or build the model "
            "with `SCDual(registry=datamodule.registry)`."
        )
        raise ValueError(msg)
    found = getattr(datamodule, "registry", None) or getattr(
        getattr(datamodule, "adata_manager", None), "registry", None
    )
    if not isinstance(found, Mapping):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # which was given when the model was built
        found = own_registry(found, model_name="SCDual")
    for what, of_model, of_datamodule in zip(_WHAT, _described(known), _described(found), strict=True):
        if of_model != of_datamodule:
            msg = (
                f"The datamodule has other {what} than the model: {_difference(of_model, of_datamodule)}; build it from files "
                "with those of the model, or build a new model with `SCDual(registry=datamodule.registry)`."
            )
            raise ValueError(msg)


def batch_size_of(datamodule: LightningDataModule | None, batch_size: int) -> int:
    """Return how many cells a minibatch of a datamodule has, ``batch_size`` if it does not say."""
    known = getattr(datamodule, "batch_size", None)
    return int(known) if isinstance(known, int | np.integer) and known > 0 else batch_size


def _category(key: str, column: str | None, fields: Mapping[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    """Return the registry of a column of categories; without a column all cells are of one."""
    names = _names(fields[key][STATE_REGISTRY_KEY].get(_MAPPING)) if column is not None else []
    categories = np.asarray(names, dtype=object) if names else np.zeros(1, int)
    original = column if names else f"_scvi_{key}"
    return {
        "data_registry": {"attr_name": "obs", "attr_key": f"_scvi_{key}"},
        STATE_REGISTRY_KEY: {_MAPPING: categories, "original_key": original, **state},
        "summary_stats": {f"n_{key}": len(categories)},
    }


def _unlabeled(labels: Mapping[str, Any], column: str | None) -> str | None:
    """Return the label of cells without one, None unless it stands behind all others, as the model expects it."""
    state = labels.get(STATE_REGISTRY_KEY, {})
    names, unlabeled = _names(state.get(_MAPPING)), state.get(_UNLABELED)
    if column is None or unlabeled is None or unlabeled not in names:
        return None
    if names[-1] == unlabeled:
        return unlabeled
    warn(
        f"The datamodule puts {unlabeled!r} before other labels, so it counts as a label of its own; rename it in the files to "
        "one that sorts last, such as 'unlabeled'."
    )
    return None


def _joint(field: Mapping[str, Any]) -> dict[str, Any]:
    state = dict(field.get(STATE_REGISTRY_KEY, {}))
    if "mapping" in state:
        names = {key: _names(values) for key, values in state.pop("mapping").items()}
        state |= {
            "mappings": {key: np.asarray(values, dtype=object) for key, values in names.items()},
            "field_keys": list(state.get("field_keys", names)),
            "n_cats_per_key": [len(values) for values in names.values()],
        }
    return {**field, STATE_REGISTRY_KEY: state}


def _names(mapping: Any) -> list[Any]:
    """Return categories in the order of their codes, from a list of them or a dict with the code of each."""
    if mapping is None:
        return []
    return sorted(mapping, key=mapping.__getitem__) if isinstance(mapping, Mapping) else list(mapping)


def _described(registry: Mapping[str, Any]) -> list[list[str]]:
    """Return genes, batches, labels, and names and categories of covariates."""
    state = {key: registry[FIELD_REGISTRIES_KEY].get(key, {}).get(STATE_REGISTRY_KEY, {}) for key in _FIELDS}
    categories = state[REGISTRY_KEYS.CAT_COVS_KEY].get("mappings", {})
    found = [
        state[REGISTRY_KEYS.X_KEY].get("column_names", ()),
        state[REGISTRY_KEYS.BATCH_KEY].get(_MAPPING, ()),
        state[REGISTRY_KEYS.LABELS_KEY].get(_MAPPING, ()),
        [f"{key}: {name}" for key, names in categories.items() for name in names],
        state[REGISTRY_KEYS.CONT_COVS_KEY].get("columns", ()),
    ]
    return [[str(name) for name in names] for names in found]


def _difference(expected: list[str], found: list[str]) -> str:
    extra = [name for name in found if name not in set(expected)]
    missing = [name for name in expected if name not in set(found)]
    parts = [f"it lacks {listed(missing, most=3)}"] if missing else []
    parts += [f"the model does not know {listed(extra, most=3)}"] if extra else []
    return " and ".join(parts) or "they are in another order"
