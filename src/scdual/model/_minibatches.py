"""Cells that come in minibatches, seen as data: how many they are, what is known about them, and some of them.

Dimension key
    B  cells in the minibatch      C  cells
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from scvi import REGISTRY_KEYS

from scdual.model._scvi import FIELD_REGISTRIES_KEY, STATE_REGISTRY_KEY

Tensors = dict[str, torch.Tensor]


class Minibatches:
    """Minibatches of a loader, which are read anew each time, in one order.

    Parameters
    ----------
    dataloader
        The loader; it is read once here.
    registry
        Registry of the model, which names batches, labels and categories.

    Raises
    ------
    TypeError
        If the minibatches can be read only once.
    ValueError
        If there are none.
    """

    def __init__(self, dataloader: Iterable[Tensors], registry: Mapping[str, Any]) -> None:
        if iter(dataloader) is dataloader:
            msg = (
                "`dataloader` can be read only once, but cells are read several times; pass a loader or a list of minibatches, such "
                "as `datamodule.inference_dataloader()`."
            )
            raise TypeError(msg)
        self._dataloader = dataloader
        parts, sizes = [], []
        for tensors in dataloader:
            parts.append(_columns(tensors, registry[FIELD_REGISTRIES_KEY]))
            sizes.append(_sizes(tensors))
        if not sizes:
            msg = "`dataloader` is empty, expected minibatches, each a dictionary of tensors. Pass at least one."
            raise ValueError(msg)
        self._size = np.concatenate(sizes)  # of each cell, by which it is known again
        joined = {name: np.concatenate([part[name][0] for part in parts]) for name in parts[0]}
        columns = {name: pd.Categorical.from_codes(codes, parts[0][name][1]) for name, codes in joined.items()}
        self.obs = pd.DataFrame(columns, index=pd.RangeIndex(len(self._size)).astype(str))

    @property
    def n_obs(self) -> int:
        """Number of cells."""
        return len(self._size)

    def of(self, cells: np.ndarray | None) -> "SomeMinibatches":
        """Return the cells at these positions, in minibatches; None takes all."""
        return SomeMinibatches(self, np.arange(self.n_obs) if cells is None else cells)

    def __iter__(self) -> Iterator[Tensors]:
        start = 0
        for tensors in self._dataloader:
            sizes = _sizes(tensors)
            if not np.array_equal(sizes, self._size[start : start + len(sizes)]):
                msg = (
                    "`dataloader` gives the cells in another order each time, but groups of them are read several times; pass one "
                    "that does not shuffle, such as `datamodule.inference_dataloader()`."
                )
                raise ValueError(msg)
            start += len(sizes)
            yield tensors


class SomeMinibatches:
    """Some cells of minibatches, read anew each time.

    Parameters
    ----------
    minibatches
        All cells.
    cells
        Positions of those that are read, shape ``(C,)``.
    """

    def __init__(self, minibatches: Minibatches, cells: np.ndarray) -> None:
        self._minibatches = minibatches
        self._is_chosen = np.zeros(minibatches.n_obs, dtype=bool)
        self._is_chosen[cells] = True

    def __iter__(self) -> Iterator[Tensors]:
        start = 0
        for tensors in self._minibatches:
            n_cells = len(tensors[REGISTRY_KEYS.X_KEY])
            chosen = np.flatnonzero(self._is_chosen[start : start + n_cells])
            start += n_cells
            if len(chosen):
                rows = torch.from_numpy(chosen)
                yield {key: values[rows.to(values.device)] for key, values in tensors.items() if _is_rows(values)}


def _is_rows(values: Any) -> bool:
    return isinstance(values, torch.Tensor) and values.ndim > 0


def _sizes(tensors: Tensors) -> np.ndarray:
    """Return the sum of the values of each cell, shape ``(B,)``."""
    counts = tensors[REGISTRY_KEYS.X_KEY]
    return (counts if counts.layout == torch.strided else counts.to_dense()).double().sum(1).cpu().numpy()


def _columns(tensors: Tensors, fields: Mapping[str, Any]) -> dict[str, tuple[np.ndarray, pd.Index]]:
    """Return codes ``(B,)`` and categories of each column that was registered, -1 where a cell has none of them."""
    found = {}
    state = {key: fields.get(key, {}).get(STATE_REGISTRY_KEY, {}) for key in fields}
    for key in (REGISTRY_KEYS.BATCH_KEY, REGISTRY_KEYS.LABELS_KEY):
        name = state.get(key, {}).get("original_key", f"_scvi_{key}")
        if name != f"_scvi_{key}" and tensors.get(key) is not None:  # that is its name in data without such a column
            found[name] = _codes(tensors[key][:, 0], state[key]["categorical_mapping"])
    categories = state.get(REGISTRY_KEYS.CAT_COVS_KEY, {}).get("mappings", {})
    for i, (name, mapping) in enumerate(categories.items()):
        found[name] = _codes(tensors[REGISTRY_KEYS.CAT_COVS_KEY][:, i], mapping)
    return found


def _codes(codes: torch.Tensor, mapping: Any) -> tuple[np.ndarray, pd.Index]:
    categories = pd.Index(np.asarray(mapping))
    values = codes.long().cpu().numpy()
    return np.where(values < len(categories), values, -1), categories
