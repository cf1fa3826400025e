"""Which genes have other counts in other cells: what varies by depth alone has nothing to go with.

Dimension key
    B  cells in the minibatch      G  genes
"""

from collections.abc import Iterable, Iterator

import torch

from scdual.module.map._values import MapCells


class CountRange:
    """Smallest and largest count of each gene among the cells that pass by.

    Parameters
    ----------
    like
        Values ``(G,)`` on the device of the cells.
    """

    def __init__(self, like: torch.Tensor) -> None:
        self._low, self._high = torch.full_like(like, torch.inf), torch.full_like(like, -torch.inf)

    def passing(self, batches: Iterable[MapCells]) -> Iterator[MapCells]:
        """Yield the minibatches, counts ``(B, G)``, and look at each."""
        for cells in batches:
            low, high = cells.counts.aminmax(dim=0)
            self._low, self._high = torch.minimum(self._low, low), torch.maximum(self._high, high)
            yield cells

    def varies(self) -> torch.Tensor:
        """Return for each gene whether two cells differ in its count, shape ``(G,)``."""
        return self._high > self._low
