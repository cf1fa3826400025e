"""The map of a group agrees with normal equations solved gene by gene, and keeps to the map of all cells in noise.

Dimension key
    N  cells of the group      G  genes      R  regulators
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import brentq
from scipy.stats import norm
from sklearn.linear_model import LinearRegression

from scdual.module.map import DEFAULT_SETTINGS, MapCells, Posterior, RegulationMap, _blocks, _group, group_map
from scdual.module.map._moments import collect_moments

N, G, N_BATCH = 300, 12, 2
REGULATORS = [7, 2, 5, 0]
R = len(REGULATORS)


@pytest.fixture
def cells() -> MapCells:
    """Counts in which gene 9 follows regulator 2, among others."""
    log_rate = 0.5 * torch.randn(N, 2) @ torch.randn(2, G) + 0.4 * torch.randn(N, G)
    log_rate[:, 9] = 1.5 * log_rate[:, 2]
    batch_index = torch.randint(N_BATCH, (N, 1))
    counts = torch.poisson((2 + log_rate + batch_index * torch.randn(G)).exp())
    return MapCells(counts, F.one_hot(batch_index[:, 0], N_BATCH).float())


def fitted(cells: MapCells, denoised_weight: float = 0.0) -> RegulationMap:
    sizes = {"n_embed": 8, "n_heads": 2, "n_categories": [N_BATCH]}
    module = RegulationMap(G, regulators=REGULATORS, denoised_weight=denoised_weight, **sizes)
    module.fit(split(cells, 100))
    return module.eval()


def split(cells: MapCells, n_per_batch: int) -> list[MapCells]:
    return [rows_of(cells, rows) for rows in torch.arange(len(cells.counts)).split(n_per_batch)]


def rows_of(cells: MapCells, rows: torch.Tensor) -> MapCells:
    return MapCells(cells.counts[rows], cells.covariates[rows])


def of_all(weight: torch.Tensor) -> Posterior:
    """Return a map of all cells that is known without error."""
    return Posterior(weight, torch.zeros_like(weight), torch.ones_like(weight), torch.zeros_like(weight))


def residuals(
    module: RegulationMap, cells: MapCells, order: torch.Tensor | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return values of regulators, and of genes in an order, without what batch and depth explain, ``(N, R)``, ``(N, G)``."""
    values = module.values.of_all(module.values.log_expr(cells))
    values = values if order is None else (values[0], values[1][order])
    batch = np.hstack([cells.covariates, module.values.scale.depth(cells.counts)])
    fits = [LinearRegression(fit_intercept=False).fit(batch, value) for value in values]
    return tuple(value.numpy() - fit.predict(batch) for value, fit in zip(values, fits, strict=True))


@pytest.mark.parametrize(
    ("denoised_weight", "smallest_penalty", "is_shuffled"),
    [(0.0, 1e-3, False), (2.0, 1e-3, False), (0.0, 0.5, False), (0.0, 1e-3, True)],
    ids=["observed", "denoised", "penalised", "shuffled"],
)
def test_agrees_with_the_normal_equations_of_each_gene(
    cells: MapCells, denoised_weight: float, smallest_penalty: float, is_shuffled: bool
) -> None:
    module = fitted(cells, denoised_weight)
    known = 0.1 * np.random.default_rng(0).normal(size=(G, R))
    known[REGULATORS, range(R)] = 0
    order = torch.randperm(N, generator=torch.Generator().manual_seed(7)) if is_shuffled else None
    v, y = residuals(module, cells, order)
    own = module.values.mixture.self_covariance().numpy().T  # (G, R)
    cross = y.T @ v / N - own * y.var(axis=0)[:, None]
    gram, unexplained = v.T @ v / N, cross - known @ (v.T @ v / N)
    pairs = [(j, k) for j in range(G) for k in range(R) if REGULATORS[k] != j]
    left = y.var(axis=0) - (known * (cross + unexplained)).sum(axis=1)
    square = [unexplained[j, k] ** 2 / gram[k, k] / left[j] for j, k in pairs]
    penalty = max(1 / (N * np.mean(square) - 1), smallest_penalty)
    departure = np.zeros((G, R))
    for j in range(G):
        others = [k for k in range(R) if REGULATORS[k] != j]
        matrix = gram[np.ix_(others, others)] + penalty * np.eye(len(others))
        departure[j, others] = np.linalg.solve(matrix, unexplained[j, others])
    noise, influence = y - v @ (known + departure).T, v @ np.linalg.inv(gram + penalty * np.eye(R))
    error = np.empty((G, R))
    for j in range(G):
        for k in range(R):
            own, square = influence[:, k] ** 2 * noise[:, j] ** 2, (influence[:, k] ** 2).mean()
            error[j, k] = max(own.mean(), square * (noise[:, j] ** 2).mean()) / N
    inside = departure != 0
    prior = brentq(lambda tau: (departure[inside] ** 2 / (tau + error[inside])).mean() - 1, 0, 10, xtol=1e-14)
    share, std = prior / (prior + error) * inside, v.std(axis=0)
    shuffler = torch.Generator().manual_seed(7) if is_shuffled else None
    batches, settings = (
        split(cells, N if is_shuffled else 64),
        replace(DEFAULT_SETTINGS, smallest_penalty=smallest_penalty),
    )
    found = group_map(module.values, batches, of_all(torch.tensor(known)), shuffler=shuffler, settings=settings)
    np.testing.assert_allclose(found.weight, (known + share * departure) * std, atol=1e-5)
    np.testing.assert_allclose(found.sd, np.sqrt(share * error) * std, atol=1e-5)
    z = np.abs(known + share * departure)[inside] / np.sqrt(share * error)[inside]
    np.testing.assert_allclose(found.support.numpy()[inside], norm.cdf(z), atol=1e-4)
    assert not found.support.numpy()[REGULATORS, range(R)].any()


def test_minibatches_do_not_matter(cells: MapCells) -> None:
    module, known = fitted(cells), torch.zeros(G, R)
    one, other = (group_map(module.values, split(cells, n), of_all(known)) for n in (N, 17))
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("n_values", [1, 3 * R])
def test_blocks_of_genes_do_not_matter(cells: MapCells, monkeypatch: pytest.MonkeyPatch, n_values: int) -> None:
    module, known = fitted(cells, 2.0), 0.1 * torch.randn(G, R)
    known[REGULATORS, range(R)] = 0
    whole = group_map(module.values, [cells], of_all(known))
    monkeypatch.setattr(_blocks.row_blocks, "__kwdefaults__", {"n_values": n_values})
    for one, other in zip(whole, group_map(module.values, [cells], of_all(known)), strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


def test_without_evidence_the_map_of_all_cells_stays(cells: MapCells) -> None:
    module = fitted(cells)
    noise = cells._replace(counts=torch.poisson(torch.full((N, G), 8.0)))
    few = split(noise, 100)[:1]
    known = torch.zeros(G, R)
    known[9, 1] = 0.7
    found = group_map(module.values, few, of_all(known)).weight
    assert found[9, 1] > 0
    assert (found.abs() > 0.5 * found[9, 1]).sum() == 1


@pytest.mark.parametrize("denoised_weight", [0.0, 2.0])
def test_a_regulator_that_is_silent_in_the_group_has_no_edges(cells: MapCells, denoised_weight: float) -> None:
    module = fitted(cells, denoised_weight)
    silent = cells.counts.clone()
    silent[:, REGULATORS[1]] = 0
    found = group_map(module.values, split(cells._replace(counts=silent), 64), of_all(torch.ones(G, R)))
    assert all(part.isfinite().all() for part in found)
    assert not any(part[:, 1].any() for part in found)
    assert found.weight[:, [0, 2, 3]].any(dim=0).all()


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_rounding_of_what_does_not_vary_says_nothing(cells: MapCells, value: float) -> None:
    """A constant rank has a variance of about 1e-18, whose sign depends on the order of the cells."""
    module, known = fitted(cells), torch.zeros(G, R)
    counts = cells.counts[:40].clone()
    counts[:, [REGULATORS[1], 3, 4]] = value
    group = MapCells(counts, cells.covariates[:40])
    one, *others = (
        group_map(module.values, [rows_of(group, order)], of_all(known)).weight
        for order in (torch.arange(40), torch.arange(39, -1, -1), *(torch.randperm(40) for _ in range(8)))
    )
    for other in others:
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_one_cell_says_nothing(cells: MapCells) -> None:
    found = group_map(fitted(cells).values, split(cells, 1)[:1], of_all(torch.ones(G, R)))
    assert not any(part.any() for part in found)


def test_shuffled_cells_tell_much_less(cells: MapCells) -> None:
    module, known = fitted(cells), torch.zeros(G, R)
    shuffler = torch.Generator().manual_seed(0)
    found, null = (
        group_map(module.values, split(cells, N), of_all(known), shuffler=made).weight for made in (None, shuffler)
    )
    assert null[9, 1].abs() < 0.2 * found[9, 1]
    assert null.square().mean() < 0.2 * found.square().mean()


def test_the_seed_of_the_generator_chooses_the_noise(cells: MapCells) -> None:
    values, known = fitted(cells).values, torch.zeros(G, R)
    one, again, other = (
        group_map(values, [cells], of_all(known), shuffler=torch.Generator().manual_seed(seed)).z for seed in (1, 1, 2)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_a_regulator_with_the_same_count_in_the_whole_group_has_no_weight(cells: MapCells) -> None:
    module = fitted(cells)
    group = rows_of(cells, torch.arange(40))
    group.counts[:, REGULATORS[1]] = 3  # its values follow depth alone
    weight = torch.ones(G, R)
    found = group_map(module.values, [group], of_all(weight))
    for values in found:
        assert not values[:, 1].any()
    assert found.weight[:, 0].any()


def test_what_the_map_of_all_cells_explains_whole_says_nothing_about_noise(cells: MapCells) -> None:
    copies = [1, 3, 4, 6]
    cells.counts[:, copies] = cells.counts[:, REGULATORS]
    values, known = fitted(cells).values, torch.zeros(G, R)
    known[copies, range(R)] = 1.0
    moments = collect_moments(values, [cells], values.of_all)
    _, correlation = _group._unexplained(values, moments, of_all(known), moments.partial_gram(), moments.variance())
    assert correlation[:, copies].isnan().all()
    assert correlation[:, [8, 9, 10, 11]].isfinite().all()
