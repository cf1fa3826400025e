"""Which cells a call is about: all, some by position or mask, or minibatches that the caller brings."""

import inspect
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from typing import Any

import numpy as np
from anndata import AnnData
from mudata import MuData
from scvi.dataloaders import AnnDataLoader
from torch.utils.data import DataLoader

from scdual._checks import check_keywords, check_type, check_whole, shown

_OWN = {"self", "adata_manager", "dataset", "indices", "batch_size", "args", "kwargs"}
# How minibatches are read; all else would change which cell a row is, or what a minibatch holds.
_READING = {
    "generator",
    "load_sparse_tensor",
    "multiprocessing_context",
    "num_workers",
    "persistent_workers",
    "pin_memory",
    "pin_memory_device",
    "prefetch_factor",
    "timeout",
    "worker_init_fn",
}


def check_cells(
    adata: Any,
    indices: Any = None,
    batch_size: Any = None,
    dataloader: Any = None,
    loader_kwargs: Any = None,
    *,
    own: Iterable[str] = ("adata", "indices", "batch_size", "dataloader"),
) -> None:
    """Raise an error unless the arguments that choose cells are valid, as far as that can be said without the data.

    Parameters
    ----------
    adata, indices, batch_size, dataloader
        As in every method of the model that reads cells.
    loader_kwargs
        Further arguments of the data loader, by name.
    own
        Names of the arguments of the method.

    Raises
    ------
    TypeError
        If one is of the wrong type, or the data loader has no such argument.
    ValueError
        If ``batch_size`` is below 1, there are no minibatches or they come with something that would choose others, or
        the data loader would return cells in another order, only some of them, or not all of their fields.
    """
    check_type("adata", adata, AnnData, MuData, optional=True)
    check_whole("batch_size", batch_size, at_least=1, optional=True)
    check_type("data_loader_kwargs", loader_kwargs, Mapping, optional=True)
    _check_loader(loader_kwargs or {}, own)
    if dataloader is None:
        return
    _check_minibatches(dataloader)
    chosen = {"adata": adata, "indices": indices, "batch_size": batch_size, **(loader_kwargs or {})}
    given = [name for name, value in chosen.items() if value is not None]
    if given:
        msg = (
            f"Only one of `{given[0]}` or `dataloader` can be given: minibatches bring their own cells. Leave out one."
        )
        raise ValueError(msg)


def _check_loader(given: Mapping[str, Any], own: Iterable[str]) -> None:
    check_keywords(given, sorted(loader_keywords()), where="This method, and the data loader behind it,", own=own)
    for name, value in given.items():
        is_default = value is None or value is (name == "in_order")
        if name not in _READING and not is_default:
            msg = (
                f"`{name}` is {shown(value)}, which would change the order of the cells, their number, or what is read of "
                "them, so that rows of the result would not be those of the data. Leave it out, and choose cells with `indices`."
            )
            raise ValueError(msg)


def _check_minibatches(dataloader: Any) -> None:
    advice = "expected minibatches, each a dictionary of tensors by the names of the registry"
    if isinstance(dataloader, str | bytes | Mapping) or not isinstance(dataloader, Iterable):
        msg = f"`dataloader` is {shown(dataloader)} of type {type(dataloader).__name__}, {advice}."
        raise TypeError(msg)
    if isinstance(dataloader, Sized) and not len(dataloader):
        msg = f"`dataloader` is empty, {advice}. Pass at least one."
        raise ValueError(msg)
    wrong = [each for each in dataloader if not isinstance(each, Mapping)] if isinstance(dataloader, Sequence) else []
    if wrong:
        msg = f"`dataloader` holds {shown(wrong[0])} of type {type(wrong[0]).__name__}, {advice}."
        raise TypeError(msg)


def cell_positions(
    adata: AnnData | MuData, indices: Sequence[int] | np.ndarray, *, name: str = "indices"
) -> np.ndarray:
    """Return positions of cells, ``(C,)``, from positions, of which negative ones count from the end, or a mask.

    Parameters
    ----------
    adata
        The data.
    indices
        Positions or a mask.
    name
        Name of the argument.

    Raises
    ------
    TypeError
        If ``indices`` are neither whole numbers nor a mask.
    ValueError
        If no cell is chosen, or a position or the length of a mask does not fit.
    """
    n_cells = adata.n_obs
    chosen = np.atleast_1d(np.asarray(indices))
    if chosen.size and (chosen.ndim > 1 or chosen.dtype.kind not in "biu"):
        advice = (
            " `adata.obs_names.get_indexer(names)` finds the positions of names." if chosen.dtype.kind in "UO" else ""
        )
        msg = f"`{name}` is {shown(indices)}, expected positions of cells as whole numbers, or a mask.{advice}"
        raise TypeError(msg)
    if chosen.dtype.kind == "b" and len(chosen) != n_cells:
        msg = f"`{name}` is a mask of {len(chosen)} cells, but the data have {n_cells}; pass one value per cell."
        raise ValueError(msg)
    outside = chosen[(chosen < -n_cells) | (chosen >= n_cells)] if chosen.dtype.kind in "iu" else chosen[:0]
    if outside.size:
        msg = f"`{name}` has {outside[0]}, but the data have {n_cells} cells; pass positions from 0 to {n_cells - 1}."
        raise ValueError(msg)
    positions = np.arange(n_cells)[chosen] if chosen.size else chosen
    if not positions.size:
        msg = f"`{name}` chooses none of the {n_cells} cells; pass positions or a mask with a True."
        raise ValueError(msg)
    return positions


@contextmanager
def given_minibatches() -> Iterator[None]:
    """Keep scvi-tools 1.5 from a warning about ``n_samples`` that it gives for any minibatches, its default included."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Using .* after custom Dataloader", category=UserWarning)
        yield


def loader_keywords() -> set[str]:
    """Return the names that ``**data_loader_kwargs`` may hold."""
    names = {name for kind in (AnnDataLoader, DataLoader) for name in inspect.signature(kind).parameters}
    return names - _OWN
