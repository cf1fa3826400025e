"""Cells that are kept in memory, for what some thousands of cells settle.

Dimension key
    B  cells in the minibatch      G  genes      U  covariates after one-hot coding
"""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from scipy import sparse

from scdual.module.map._values import MapCells
from scdual.nn import positions

_N_PER_BATCH = 512
# Odd numbers of 64 bits whose products scatter the bits of a number (the finaliser of MurmurHash3), as signed integers.
_SCATTER = (-49064778989728563, -4265267296055464877)


class CellSample:
    """The cells with the smallest hashes of what is known about them: a random choice that is always the same.

    Neither the order of the cells, nor that of the genes, nor the size of the minibatches changes which cells these are, or
    their order; but of cells that differ in nothing but which genes have their counts, the order of the genes decides which
    is first. So it does not matter that a file has one batch after the other, and memory does not grow with the number
    of cells.

    Parameters
    ----------
    n_cells
        Largest number of cells that are kept.
    """

    def __init__(self, n_cells: int) -> None:
        self.n_cells, self.n_seen = n_cells, 0
        self._hash = torch.empty(0, 2, dtype=torch.int64)
        self._counts: list[sparse.csr_matrix] = []
        self._others: list[MapCells] = []  # the same cells, without their counts
        self._device = torch.device("cpu")

    def filled_by(self, batches: Iterable[MapCells]) -> "FillingBatches":
        """Return the same minibatches, of which cells are kept while they are read for the first time."""
        return FillingBatches(self, batches)

    def add(self, cells: MapCells) -> None:
        """See cells, and keep those that belong to the sample so far."""
        hashes = row_hashes(cells).cpu()
        self.n_seen, self._device = self.n_seen + len(hashes), cells.counts.device
        if len(self._hash) >= self.n_cells:
            kept = (hashes[:, 0] <= self._hash[:, 0].kthvalue(self.n_cells).values).nonzero()[:, 0]
        else:
            kept = torch.arange(len(hashes))
        if not len(kept):
            return
        rows = kept.to(self._device)
        self._hash = torch.cat([self._hash, hashes[kept]])
        self._counts.append(sparse.csr_matrix(cells.counts[rows].cpu().numpy()))
        size = None if cells.size_factor is None else cells.size_factor[rows].cpu()
        self._others.append(MapCells(torch.empty(0), cells.covariates[rows].cpu(), size))
        if len(self._hash) > 2 * self.n_cells:
            self._settle()

    def __iter__(self) -> Iterator[MapCells]:
        """Yield minibatches of the cells, on the device they came from, the smallest hash first."""
        if not self.n_seen:
            return
        self._settle()
        (counts,), (others,) = self._counts, self._others
        for start in range(0, counts.shape[0], _N_PER_BATCH):
            rows = slice(start, start + _N_PER_BATCH)
            size = None if others.size_factor is None else others.size_factor[rows].to(self._device)
            dense = torch.from_numpy(counts[rows].toarray())
            yield MapCells(dense.to(self._device), others.covariates[rows].to(self._device), size)

    def _settle(self) -> None:
        """Drop what no longer belongs to the sample, and join what is left."""
        order = torch.from_numpy(np.lexsort(self._hash.T.flip(0).numpy())[: self.n_cells])
        self._hash = self._hash[order]
        self._counts = [sparse.vstack(self._counts, format="csr")[order.numpy()]]
        size = [part.size_factor for part in self._others if part.size_factor is not None]
        covariates = torch.cat([part.covariates for part in self._others])[order]
        self._others = [MapCells(torch.empty(0), covariates, torch.cat(size)[order] if size else None)]


class FillingBatches:
    """Minibatches that fill a sample when they are read from beginning to end for the first time.

    Parameters
    ----------
    sample
        Sample to fill.
    batches
        Minibatches, read anew each time.
    """

    def __init__(self, sample: CellSample, batches: Iterable[MapCells]) -> None:
        self.sample, self.batches = sample, batches

    def __iter__(self) -> Iterator[MapCells]:
        fills = not self.sample.n_seen
        for cells in self.batches:
            if fills:
                self.sample.add(cells)
            yield cells


def row_hashes(cells: MapCells) -> torch.Tensor:
    r"""Return two hashes of each cell, shape ``(B, 2)``, signed integers of 64 bits; the first does not know the genes.

    .. math::
        h_b = \mathrm{scatter}\left(\sum_g \mathrm{scatter}(\mathrm{bits}(x_{bg})) + o_b \mod 2^{64}\right), \qquad
        h'_b = \mathrm{scatter}\left(\sum_g w_g \, \mathrm{bits}(x_{bg}) + o_b \mod 2^{64}\right)

    with o the same as the second sum over covariates and size factor, and a random odd number w for each column. Integers do
    not round, so a cell has the same hashes in any minibatch.
    """
    counts = cells.counts.float().contiguous()
    others = cells.covariates if cells.size_factor is None else torch.cat([cells.covariates, cells.size_factor], dim=1)
    place = positions(counts != 0)
    bits, row = _bits(counts.flatten()[place]), place // counts.shape[1]
    terms = torch.stack([_scatter(bits), bits * _weights(counts)[place % counts.shape[1]]], dim=1)
    of_counts = torch.zeros(len(counts), 2, dtype=torch.int64, device=counts.device).index_add_(0, row, terms)
    return _scatter(of_counts + (_bits(others) * _weights(others)).sum(1, keepdim=True))


def _bits(values: torch.Tensor) -> torch.Tensor:
    """Return the bits of numbers as integers; 0 has none."""
    return values.float().contiguous().view(torch.int32).long()


def _weights(values: torch.Tensor) -> torch.Tensor:
    """Return a random odd number for each column."""
    generator = torch.Generator().manual_seed(0)
    return (torch.randint(-(2**62), 2**62, (values.shape[1],), generator=generator) * 2 + 1).to(values.device)


def _scatter(total: torch.Tensor) -> torch.Tensor:
    """Return integers whose bits depend on all bits of the given ones; 0 stays 0."""
    for factor in _SCATTER:
        total = (total ^ ((total >> 33) & (2**31 - 1))) * factor  # the mask makes the shift one of unsigned integers
    return total ^ ((total >> 33) & (2**31 - 1))
