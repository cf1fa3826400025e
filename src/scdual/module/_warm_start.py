"""Linear regulation, solved exactly: where the regulation decoder starts, and how a group of cells departs from it.

Inside tensors row = target, column = regulator.

Dimension key
    B  cells      G  genes      R  regulators      U  covariates after one-hot coding
"""

from copy import copy

import torch

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
        self.gram += rows.T @ rows
        self.cross += rows.T @ genes.double()
        self.square += genes.double().square().sum(0)

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
        result.cross = self.cross / by_row[:, None] / gene_std
        result.square = self.square / gene_std.square()
        return result

    def effects(self, weight: torch.Tensor) -> torch.Tensor:
        """Return effects of the covariates ``(U, G)`` on genes besides those by way of regulators ``weight`` ``(G, R)``."""
        total = self._total_effects()
        n_regulators = weight.shape[1]
        return total[:, n_regulators:] - total[:, :n_regulators] @ weight.T

    def _total_effects(self) -> torch.Tensor:
        u, v = slice(self.n_covariates), slice(self.n_covariates, None)
        return torch.linalg.pinv(self.gram[u, u], hermitian=True) @ torch.cat([self.gram[u, v], self.cross[u]], dim=1)

    def partial(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mean products ``(R, R)`` and ``(R, G)`` of what the covariates leave unexplained."""
        u, v = slice(self.n_covariates), slice(self.n_covariates, None)
        left = torch.cat([self.gram[v, v], self.cross[v]], dim=1) - self.gram[v, u] @ self._total_effects()
        n_regulators = len(left)
        return left[:, :n_regulators] / self.n_cells, left[:, n_regulators:] / self.n_cells

    def variance(self) -> torch.Tensor:
        """Return the variance of each gene that the covariates leave unexplained, shape ``(G,)``."""
        effect = self._total_effects()[:, -len(self.square) :]
        return (self.square - (self.cross[: self.n_covariates] * effect).sum(0)) / self.n_cells

    def varies(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return which regulators ``(R,)`` and genes ``(G,)`` vary beyond the covariates, and not by rounding alone."""
        regulator_square = self.gram.diagonal()[self.n_covariates :] / self.n_cells
        gram, _ = self.partial()
        return (
            gram.diagonal() > ROUNDING * regulator_square,
            self.variance() > ROUNDING * self.square / self.n_cells,
        )


def correlation_signal(correlation: torch.Tensor, regulator_index: torch.Tensor, n_cells: int) -> float:
    """Return n times the mean squared correlation of a regulator with another gene; pure noise gives 1.

    Parameters
    ----------
    correlation
        Correlation of regulators with all genes, shape ``(R, G)``; NaN where there is none, because one is constant.
    regulator_index
        Positions of the regulators among the genes, shape ``(R,)``.
    n_cells
        Number of cells n.
    """
    others = correlation.square().scatter(1, regulator_index[:, None], torch.nan)
    return float(n_cells * others.nanmean().nan_to_num())


def shared_information(correlation: torch.Tensor, n_cells: int) -> float:
    """Return how many other regulators' worth of information one carries: the mean sum of squared correlations.

    Parameters
    ----------
    correlation
        Correlation of the regulators with each other, shape ``(R, R)``.
    n_cells
        Number of cells; the part that chance alone would give is taken off.
    """
    n_regulators = len(correlation)
    others = (correlation.square().sum() - correlation.diagonal().square().sum()) / n_regulators
    return max(0.0, float(others) - (n_regulators - 1) / n_cells)


def leave_one_out_ridge(
    gram: torch.Tensor,
    cross: torch.Tensor,
    regulator_index: torch.Tensor,
    *,
    penalty: float,
) -> torch.Tensor:
    r"""Return ridge coefficients of every gene on all regulators but itself, shape ``(G, R)``.

    Hiding each regulator with probability :math:`1 - p` makes least squares a ridge regression with the penalty
    :math:`(1 - p) / p`, its coefficients divided by p :cite:p:`Wager13`. One inverse serves all genes: for a gene that is regulator k,

    .. math:: w^{(-k)} = w - \frac{w_k}{(\Sigma^{-1})_{kk}} \, \Sigma^{-1}_{:, k}

    Parameters
    ----------
    gram
        Mean products of the regulators, shape ``(R, R)``.
    cross
        Mean products of regulators and genes, shape ``(R, G)``.
    regulator_index
        Positions of the regulators among the genes, shape ``(R,)``.
    penalty
        Added to the diagonal of ``gram``.
    """
    n_regulators = len(gram)
    inverse = torch.linalg.inv(gram + penalty * torch.eye(n_regulators, dtype=gram.dtype, device=gram.device))
    weight = inverse @ cross  # (R, G)
    own = weight[:, regulator_index].diagonal() / inverse.diagonal()  # (R,)
    weight[:, regulator_index] -= inverse * own
    return weight.T.index_put((regulator_index, torch.arange(n_regulators, device=gram.device)), weight.new_zeros(()))
