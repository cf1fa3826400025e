"""Correlations agree with those of what a linear model of covariates and depth leaves unexplained.

Dimension key
    N  cells      G  genes      R  regulators
"""

import numpy as np
import torch
from scvi import REGISTRY_KEYS
from sklearn.linear_model import LinearRegression

from scdual.module import SCDualModule, residual_correlation

N, G, N_BATCH = 200, 9, 2
REGULATORS = [7, 2, 5, 0]
Tensors = dict[str, torch.Tensor]


def some_cells() -> Tensors:
    """Counts that depth and batch move together; gene 3 is constant."""
    batch_index = torch.randint(N_BATCH, (N, 1))
    log_rate = 0.5 * torch.randn(N, 2) @ torch.randn(2, G) + 0.5 * torch.randn(N, 1) + batch_index * torch.randn(G)
    counts = torch.poisson((2 + log_rate).exp())
    counts[:, 3] = 0
    return {REGISTRY_KEYS.X_KEY: counts, REGISTRY_KEYS.BATCH_KEY: batch_index}


def split(cells: Tensors, n_per_batch: int) -> list[Tensors]:
    return [{key: value[rows] for key, value in cells.items()} for rows in torch.arange(N).split(n_per_batch)]


def fitted(cells: Tensors) -> SCDualModule:
    sizes = {"n_hidden": 8, "n_latent": 2, "n_embed": 8, "n_heads": 2, "n_pool": 2, "n_batch": N_BATCH}
    module = SCDualModule(G, regulators=REGULATORS, **sizes)
    module.fit_scale(split(cells, 100))
    return module.eval()


def test_agrees_with_correlations_of_residuals_of_ranks() -> None:
    cells = some_cells()
    module = fitted(cells)
    rank = module.scale.rank_score(module.log_expr(cells), torch.arange(G)).numpy()
    batch = np.eye(N_BATCH)[cells[REGISTRY_KEYS.BATCH_KEY].flatten()]
    known = np.hstack([batch, module.scale.depth(cells[REGISTRY_KEYS.X_KEY])])
    residual = rank - LinearRegression(fit_intercept=False).fit(known, rank).predict(known)
    varying = [gene for gene in range(G) if gene != 3]
    expected = np.zeros((G, G))
    expected[np.ix_(varying, varying)] = np.corrcoef(residual[:, varying].T)

    correlation = residual_correlation(module, split(cells, 64)).numpy()
    np.testing.assert_allclose(correlation, expected[:, REGULATORS], atol=1e-5)
    np.testing.assert_allclose(correlation[REGULATORS, range(len(REGULATORS))], 1, atol=1e-5)


def test_neither_minibatches_nor_a_single_cell_disturb_it() -> None:
    cells = some_cells()
    module = fitted(cells)
    whole = residual_correlation(module, [cells])
    torch.testing.assert_close(residual_correlation(module, split(cells, 7)), whole, atol=1e-5, rtol=0)
    assert not residual_correlation(module, split(cells, 1)[:1]).any()
