"""The map of a group agrees with normal equations solved gene by gene, and keeps to the map of all cells in noise.

Dimension key
    N  cells of the group      G  genes      R  regulators
"""

import numpy as np
import pytest
import torch
from scvi import REGISTRY_KEYS
from sklearn.linear_model import LinearRegression

from scdual.module import SCDualModule, group_map

N, G, N_BATCH = 300, 12, 2
REGULATORS = [7, 2, 5, 0]
R = len(REGULATORS)
Tensors = dict[str, torch.Tensor]


@pytest.fixture
def cells() -> Tensors:
    """Counts in which gene 9 follows regulator 2, among others."""
    log_rate = 0.5 * torch.randn(N, 2) @ torch.randn(2, G) + 0.4 * torch.randn(N, G)
    log_rate[:, 9] = 1.5 * log_rate[:, 2]
    batch_index = torch.randint(N_BATCH, (N, 1))
    return {
        REGISTRY_KEYS.X_KEY: torch.poisson((2 + log_rate + batch_index * torch.randn(G)).exp()),
        REGISTRY_KEYS.BATCH_KEY: batch_index,
    }


def fitted(cells: Tensors, denoised_weight: float = 0.0) -> SCDualModule:
    sizes = {"n_hidden": 8, "n_latent": 2, "n_embed": 8, "n_heads": 2, "n_pool": 2, "n_batch": N_BATCH}
    module = SCDualModule(G, regulators=REGULATORS, denoised_weight=denoised_weight, **sizes)
    module.fit_scale(split(cells, 100))
    return module.eval()


def split(cells: Tensors, n_per_batch: int) -> list[Tensors]:
    return [{key: value[rows] for key, value in cells.items()} for rows in torch.arange(N).split(n_per_batch)]


def residuals(module: SCDualModule, cells: Tensors) -> tuple[np.ndarray, np.ndarray]:
    """Return values of regulators and genes without what batch and depth explain, ``(N, R)`` and ``(N, G)``."""
    log_expr = module.log_expr(cells)
    values = [module.mixed_values(log_expr), module.target_values(log_expr, torch.arange(G))]
    batch = np.eye(N_BATCH)[cells[REGISTRY_KEYS.BATCH_KEY].flatten()]
    batch = np.hstack([batch, module.scale.depth(cells[REGISTRY_KEYS.X_KEY])])
    fits = [LinearRegression(fit_intercept=False).fit(batch, value) for value in values]
    return tuple(value.numpy() - fit.predict(batch) for value, fit in zip(values, fits, strict=True))


@pytest.mark.parametrize("denoised_weight", [0.0, 2.0])
def test_agrees_with_the_normal_equations_of_each_gene(cells: Tensors, denoised_weight: float) -> None:
    module = fitted(cells, denoised_weight)
    known = 0.1 * np.random.default_rng(0).normal(size=(G, R))
    known[REGULATORS, range(R)] = 0
    v, y = residuals(module, cells)
    own = module.mixture.own_share().numpy().T  # (G, R)
    cross = y.T @ v / N - own * y.var(axis=0)[:, None]
    gram, unexplained = v.T @ v / N, cross - known @ (v.T @ v / N)
    pairs = [(j, k) for j in range(G) for k in range(R) if REGULATORS[k] != j]
    left = y.var(axis=0) - (known * (cross + unexplained)).sum(axis=1)
    square = [unexplained[j, k] ** 2 / gram[k, k] / left[j] for j, k in pairs]
    penalty = 1 / (N * np.mean(square) - 1)
    expected = np.zeros((G, R))
    for j in range(G):
        others = [k for k in range(R) if REGULATORS[k] != j]
        matrix = gram[np.ix_(others, others)] + penalty * np.eye(len(others))
        expected[j, others] = known[j, others] + np.linalg.solve(matrix, unexplained[j, others])
    expected *= v.std(axis=0)
    found = group_map(module, split(cells, 64), torch.tensor(known))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_minibatches_do_not_matter(cells: Tensors) -> None:
    module, known = fitted(cells), torch.zeros(G, R)
    one, other = (group_map(module, split(cells, n), known) for n in (N, 17))
    torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_without_evidence_the_map_of_all_cells_stays(cells: Tensors) -> None:
    module = fitted(cells)
    noise = cells | {REGISTRY_KEYS.X_KEY: torch.poisson(torch.full((N, G), 8.0))}
    few = [{key: value[:6] for key, value in noise.items()}]
    known = torch.zeros(G, R)
    known[9, 1] = 0.7
    found = group_map(module, few, known)
    assert found[9, 1] > 0
    assert (found.abs() > 0.5 * found[9, 1]).sum() == 1


@pytest.mark.parametrize("denoised_weight", [0.0, 2.0])
def test_a_regulator_that_is_silent_in_the_group_has_no_edges(cells: Tensors, denoised_weight: float) -> None:
    module = fitted(cells, denoised_weight)
    silent = cells[REGISTRY_KEYS.X_KEY].clone()
    silent[:, REGULATORS[1]] = 0
    found = group_map(module, split(cells | {REGISTRY_KEYS.X_KEY: silent}, 64), torch.ones(G, R))
    assert found.isfinite().all()
    assert not found[:, 1].any()
    assert found[:, [0, 2, 3]].any(dim=0).all()


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_rounding_of_what_does_not_vary_says_nothing(cells: Tensors, value: float) -> None:
    """A constant rank has a variance of about 1e-18, whose sign depends on the order of the cells."""
    module, known = fitted(cells), torch.zeros(G, R)
    counts = cells[REGISTRY_KEYS.X_KEY][:40].clone()
    counts[:, [REGULATORS[1], 3, 4]] = value
    group = {REGISTRY_KEYS.X_KEY: counts, REGISTRY_KEYS.BATCH_KEY: cells[REGISTRY_KEYS.BATCH_KEY][:40]}
    one, *others = (
        group_map(module, [{key: rows[order] for key, rows in group.items()}], known)
        for order in (torch.arange(40), torch.arange(39, -1, -1), *(torch.randperm(40) for _ in range(8)))
    )
    for other in others:
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_one_cell_says_nothing(cells: Tensors) -> None:
    found = group_map(fitted(cells), split(cells, 1)[:1], torch.ones(G, R))
    assert not found.any()


def test_shuffled_cells_tell_much_less(cells: Tensors) -> None:
    module, known = fitted(cells), torch.zeros(G, R)
    found, null = (group_map(module, split(cells, N), known, shuffle=shuffle) for shuffle in (False, True))
    assert null[9, 1].abs() < 0.2 * found[9, 1]
    assert null.square().mean() < 0.2 * found.square().mean()
