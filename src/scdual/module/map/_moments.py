"""Second moments of cells, free of covariates: what linear regulation rests on.

Dimension key
    B  cells      G  genes      R  regulators      U  covariates after one-hot coding
"""

from collections.abc import Callable, Iterable
from copy import copy

import torch

from scdual.module.map._values import MapCells, MapValues

View = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]

ROUNDING = 1e-9  # share of a variance, far above errors of 32-bit values and far below anything that cells do


class Moments:
    """Second moments of regulator values with each other and with all genes, free of covariates.

    Parameters
    ----------
    n_regulators, n_genes, n_covariates
        Numbers of regulators, genes and covariate columns.
    device
        Where the sums are kept.
    """

    def __init__(self, n_regulators: int, n_genes: int, n_covariates: int, *, device: torch.device) -> None:
        n_rows = n_covariates + n_regulators
        self.n_covariates, self.n_cells = n_covariates, 0
        self.gram = torch.zeros(n_rows, n_rows, dtype=torch.float64, device=device)
        self.cross = torch.zeros(n_rows, n_genes, dtype=torch.float64, device=device)
        self.square = torch.zeros(n_genes, dtype=torch.float64, device=device)

    def add(self, covariates: torch.Tensor, values: torch.Tensor, genes: torch.Tensor) -> None:
        """Add cells with covariates ``(B, U)``, regulator values ``(B, R)`` and gene values ``(B, G)``."""
        rows = torch.cat([covariates, values], dim=1).double()
        self.n_cells += len(rows)
        genes = genes.double()
        self.gram.addmm_(rows.T, rows)
        self.cross.addmm_(rows.T, genes)
        self.square += genes.square().sum(0)

    def joined(self, other: "Moments") -> "Moments":
        """Return the moments of these cells and of others."""
        result = copy(self)
        result.n_cells = self.n_cells + other.n_cells
        result.gram, result.cross = self.gram + other.gram, self.cross + other.cross
        result.square = self.square + other.square
        return result

    def std(self) -> torch.Tensor:
        """Return the spread of the regulator values about zero, covariates included, shape ``(R,)``."""
        return (self.gram.diagonal()[self.n_covariates :] / self.n_cells).sqrt()

    def gene_std(self) -> torch.Tensor:
        """Return the spread of the gene values about zero, covariates included, shape ``(G,)``."""
        return (self.square / self.n_cells).sqrt()

    def scaled(self, std: torch.Tensor, gene_std: torch.Tensor) -> "Moments":
        """Return the moments of regulator and gene values divided by ``std`` ``(R,)`` and ``gene_std`` ``(G,)``."""
        result = copy(self)
        by_row = torch.cat([std.new_ones(self.n_covariates), std]).double()
        result.gram = self.gram / by_row / by_row[:, None]
        result.cross = (self.cross / by_row[:, None]).div_(gene_std)
        result.square = self.square / gene_std.square()
        return result

    def effects(self, weight: torch.Tensor) -> torch.Tensor:
        """Return effects of the covariates ``(U, G)`` on genes besides those by way of regulators ``weight`` ``(G, R)``."""
        total = self.total_effects()
        return total[:, -len(weight) :] - total[:, : weight.shape[1]] @ weight.T

    def total_effects(self) -> torch.Tensor:
        """Return the effects of the covariates on regulators and genes, shape ``(U, R + G)``."""
        u, v = slice(self.n_covariates), slice(self.n_covariates, None)
        return torch.linalg.pinv(self.gram[u, u], hermitian=True) @ torch.cat([self.gram[u, v], self.cross[u]], dim=1)

    def partial(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mean products ``(R, R)`` and ``(R, G)`` of what the covariates leave unexplained."""
        return self.partial_gram(), self.partial_cross()

    def partial_gram(self) -> torch.Tensor:
        """Return the mean products of the regulators with each other, ``(R, R)``, of what the covariates leave."""
        u, v = slice(self.n_covariates), slice(self.n_covariates, None)
        effect = self.total_effects()[:, : len(self.gram) - self.n_covariates]
        return torch.addmm(self.gram[v, v], self.gram[v, u], effect, alpha=-1).div_(self.n_cells)

    def partial_cross(self, regulators: slice = slice(None)) -> torch.Tensor:
        """Return the mean products of some regulators with all genes, ``(rows, G)``, of what the covariates leave."""
        u, v = slice(self.n_covariates), slice(self.n_covariates, None)
        effect = self.total_effects()[:, -len(self.square) :]
        left = torch.addmm(self.cross[v][regulators], self.gram[v, u][regulators], effect, alpha=-1)
        return left.div_(self.n_cells)

    def variance(self) -> torch.Tensor:
        """Return the variance of each gene that the covariates leave unexplained, shape ``(G,)``."""
        effect = self.total_effects()[:, -len(self.square) :]
        return (self.square - (self.cross[: self.n_covariates] * effect).sum(0)) / self.n_cells

    def varies(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return which regulators ``(R,)`` and genes ``(G,)`` vary beyond the covariates, and not by rounding alone."""
        regulator_square = self.gram.diagonal()[self.n_covariates :] / self.n_cells
        return (
            self.partial_gram().diagonal() > ROUNDING * regulator_square,
            self.variance() > ROUNDING * self.square / self.n_cells,
        )


def collect_moments(
    values: MapValues,
    batches: Iterable[MapCells],
    view: View,
    *,
    n_rows: int | None = None,
) -> Moments:
    """Return moments over cells.

    Parameters
    ----------
    values
        Gives log values and covariates.
    batches
        Minibatches of the cells; they are read once.
    view
        Makes values of the regulators ``(B, R)`` and of all genes ``(B, G)`` of log values ``(B, G)``.
    n_rows
        Columns of the first of these, if others than the regulators are among them.
    """
    (moments,) = _collect(values, batches, view, n_rows=n_rows or values.n_regulators, n_parts=1)
    return moments


def collect_halves(values: MapValues, batches: Iterable[MapCells], view: View) -> tuple[Moments, Moments]:
    """Return moments over every other cell, and over the rest; arguments are those of :func:`collect_moments`."""
    first, second = _collect(values, batches, view, n_rows=values.n_regulators, n_parts=2)
    return first, second


def _collect(values: MapValues, batches: Iterable[MapCells], view: View, *, n_rows: int, n_parts: int) -> list[Moments]:
    device = values.regulator_index.device
    parts = [Moments(n_rows, values.n_genes, values.n_columns, device=device) for _ in range(n_parts)]
    for cells in batches:
        covariates, (regulators, genes) = values.covariates(cells), view(values.log_expr(cells))
        for first, moments in enumerate(parts):
            rows = slice(first, None, n_parts)
            moments.add(covariates[rows], regulators[rows], genes[rows])
    return parts
