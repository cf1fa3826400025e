"""From the minibatches of scvi-tools to those of the map.

Dimension key
    B  cells in the minibatch      G  genes
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from scvi import REGISTRY_KEYS

from scdual.module.map import MapCells

Tensors = dict[str, torch.Tensor]


def dense(x: torch.Tensor) -> torch.Tensor:
    """Return counts in strided layout, row by row, as 32-bit numbers; they may arrive as CSR or column by column."""
    return (x if x.layout == torch.strided else x.to_dense()).contiguous().float()


def check_minibatch(tensors: Any, *, n_genes: int, n_batch: int) -> None:
    """Raise an error unless a minibatch holds counts of so many genes, and batches if there are any.

    Parameters
    ----------
    tensors
        What a loader gave.
    n_genes, n_batch
        Numbers of genes and batches of the model.
    """
    names = list(tensors) if isinstance(tensors, Mapping) else []
    counts = tensors[REGISTRY_KEYS.X_KEY] if REGISTRY_KEYS.X_KEY in names else None
    lacks_batch = n_batch > 1 and (REGISTRY_KEYS.BATCH_KEY not in names or tensors[REGISTRY_KEYS.BATCH_KEY] is None)
    if not isinstance(counts, torch.Tensor) or lacks_batch:
        found = f"holds {names}" if names else f"is of type {type(tensors).__name__}"
        msg = (
            f"A minibatch {found}, expected a dictionary with the tensors {REGISTRY_KEYS.X_KEY!r} and {REGISTRY_KEYS.BATCH_KEY!r}; "
            "of a datamodule pass `datamodule.inference_dataloader()`."
        )
        raise ValueError(msg)
    if counts.shape[-1] != n_genes:
        msg = f"A minibatch has {counts.shape[-1]} genes, but the model {n_genes}; pass data with the genes of the model, in its order."
        raise ValueError(msg)


class MapBatches:
    """The minibatches of a loader as the map takes them, read anew each time they are asked for.

    Parameters
    ----------
    map_cells
        Makes cells for the map of one minibatch.
    dataloader
        Minibatches.
    """

    def __init__(self, map_cells: Callable[[Tensors], MapCells], dataloader: Iterable[Tensors]) -> None:
        self.map_cells, self.dataloader = map_cells, dataloader

    def __iter__(self) -> Iterator[MapCells]:
        return map(self.map_cells, self.dataloader)
