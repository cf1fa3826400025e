"""Linear regulation, solved exactly, and what its penalty depends on: pure functions of second moments.

Inside tensors row = target, column = regulator; second moments have the regulators as rows.

Dimension key
    G  genes      R  regulators
"""

import torch

from scdual.module.map._blocks import row_blocks


def correlation_over_noise(correlation: torch.Tensor, regulator_index: torch.Tensor, n_cells: int) -> float:
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
    total, n_others = 0.0, 0
    for rows in row_blocks(*correlation.shape):
        others = correlation[rows].double().square().scatter_(1, regulator_index[rows, None], torch.nan)
        total += float(others.nansum())
        n_others += int(torch.count_nonzero(~others.isnan()))
    return n_cells * total / max(n_others, 1)


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
    weight[torch.arange(n_regulators, device=gram.device), regulator_index] = 0.0
    return weight.T
