"""From the minibatches of scvi-tools to those of the map.

Dimension key
    B  cells in the minibatch      G  genes
"""

from collections.abc import Callable, Iterable, Iterator

import torch

from scdual.module.map import MapCells

Tensors = dict[str, torch.Tensor]


def dense(x: torch.Tensor) -> torch.Tensor:
    """Return counts in strided layout, row by row; they may arrive as CSR or column by column."""
    return (x if x.layout == torch.strided else x.to_dense()).contiguous()


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
