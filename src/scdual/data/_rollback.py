"""Leave data as they were when their registration fails."""

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from anndata import AnnData
from mudata import MuData

_PREFIX = "_scvi"  # of everything that scvi-tools writes


@contextmanager
def unchanged_on_error(data: AnnData | MuData) -> Iterator[None]:
    """Take back what scvi-tools has written into the data if the block raises an error.

    Parameters
    ----------
    data
        Data that are registered in the block.
    """
    parts = [data, *(data.mod.values() if isinstance(data, MuData) else ())]
    written = [_written(part) for part in parts]
    matrices = [_matrices(part) for part in parts]
    done = False
    try:
        yield
        done = True
    finally:
        if not done:
            for part, before, layout in zip(parts, written, matrices, strict=True):
                _restore(part, before)
                _restore_matrices(part, layout)


def _slots(part: AnnData | MuData) -> list[MutableMapping[str, Any]]:
    return [part.obs, part.obsm, part.uns]


def _written(part: AnnData | MuData) -> list[dict[str, Any]]:
    return [{key: slot[key] for key in slot if _is_ours(key)} for slot in _slots(part)]


def _restore(part: AnnData | MuData, before: list[dict[str, Any]]) -> None:
    for slot, values in zip(_slots(part), before, strict=True):
        for key in [key for key in slot if _is_ours(key) and key not in values]:
            del slot[key]
        for key, value in values.items():
            if key not in slot or slot[key] is not value:
                slot[key] = value


def _is_ours(key: Any) -> bool:
    return isinstance(key, str) and key.startswith(_PREFIX)


def _matrices(part: AnnData | MuData) -> dict[str | None, Any]:
    """Return matrices that scvi-tools may lay out anew; it does so in memory only."""
    if isinstance(part, MuData) or part.isbacked or part.is_view:
        return {}
    return {None: part.X} | {key: part.layers[key] for key in part.layers if key is not None}


def _restore_matrices(part: AnnData | MuData, before: dict[str | None, Any]) -> None:
    for key, matrix in before.items():
        if key is None and part.X is not matrix:
            part.X = matrix
        elif key is not None and part.layers[key] is not matrix:
            part.layers[key] = matrix
