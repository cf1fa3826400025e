"""Correlations agree with those of what a linear model of covariates and depth leaves unexplained.

Dimension key
    N  cells      G  genes      R  regulators
"""

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import LinearRegression

from scdual.module.map import MapCells, MapValues, residual_correlation
from scdual.nn import ExpressionEmbedding

N, G, N_BATCH = 200, 9, 2
REGULATORS = [7, 2, 5, 0]


def some_cells() -> MapCells:
    """Counts that depth and batch move together; gene 3 is constant."""
    batch_index = torch.randint(N_BATCH, (N, 1))
    log_rate = 0.5 * torch.randn(N, 2) @ torch.randn(2, G) + 0.5 * torch.randn(N, 1) + batch_index * torch.randn(G)
    counts = torch.poisson((2 + log_rate).exp())
    counts[:, 3] = 0
    return MapCells(counts, F.one_hot(batch_index[:, 0], N_BATCH).float())


def split(cells: MapCells, n_per_batch: int) -> list[MapCells]:
    return [MapCells(cells.counts[rows], cells.covariates[rows]) for rows in torch.arange(N).split(n_per_batch)]


def fitted(cells: MapCells) -> MapValues:
    values = MapValues(G, torch.tensor(REGULATORS), n_covariates=N_BATCH)
    values.fit_scale(split(cells, 100), ExpressionEmbedding(4))
    return values


def test_agrees_with_correlations_of_residuals_of_ranks() -> None:
    cells = some_cells()
    values = fitted(cells)
    rank = values.scale.rank_score(values.log_expr(cells), torch.arange(G)).numpy()
    known = np.hstack([cells.covariates, values.scale.depth(cells.counts)])
    residual = rank - LinearRegression(fit_intercept=False).fit(known, rank).predict(known)
    varying = [gene for gene in range(G) if gene != 3]
    expected = np.zeros((G, G))
    expected[np.ix_(varying, varying)] = np.corrcoef(residual[:, varying].T)

    correlation = residual_correlation(values, split(cells, 64)).numpy()
    np.testing.assert_allclose(correlation, expected[:, REGULATORS], atol=1e-5)
    np.testing.assert_allclose(correlation[REGULATORS, range(len(REGULATORS))], 1, atol=1e-5)


def test_neither_minibatches_nor_a_single_cell_disturb_it() -> None:
    cells = some_cells()
    values = fitted(cells)
    whole = residual_correlation(values, [cells])
    torch.testing.assert_close(residual_correlation(values, split(cells, 7)), whole, atol=1e-5, rtol=0)
    assert not residual_correlation(values, split(cells, 1)[:1]).any()
