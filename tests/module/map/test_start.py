"""Before its first step a module holds the ridge solution, whatever the order of cells, minibatches and genes.

Dimension key
    N  cells      G  genes      R  regulators
"""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LinearRegression, Ridge

from scdual.module.map import MapCells, RegulationMap, prior_activity, prior_factor

N, G, N_BATCH = 400, 20, 2
REGULATORS = [9, 2, 5, 0, 17]
R = len(REGULATORS)
ACTIVATED, REPRESSED = (12, 1), (14, 3)  # planted edges: target and place of its regulator


def build_map(**kwargs: Any) -> RegulationMap:
    sizes = {"n_embed": 8, "n_heads": 2, "n_categories": [N_BATCH]}
    return RegulationMap(G, **(sizes | {"regulators": REGULATORS} | kwargs))


@pytest.fixture
def cells() -> MapCells:
    """Counts of two programmes, with batches, noise and two planted edges."""
    log_rate = 0.5 * torch.randn(N, 2) @ torch.randn(2, G) + 0.4 * torch.randn(N, G)
    batch_index = torch.randint(N_BATCH, (N, 1))
    log_rate += batch_index * torch.randn(G)
    for (target, place), sign in ((ACTIVATED, 1), (REPRESSED, -1)):
        log_rate[:, target] = sign * 1.5 * log_rate[:, REGULATORS[place]] + 0.2 * torch.randn(N)
    return MapCells(torch.poisson((2 + log_rate).exp()), F.one_hot(batch_index[:, 0], N_BATCH).float())


def split(cells: MapCells, n_per_batch: int, order: torch.Tensor | None = None) -> list[MapCells]:
    order = torch.arange(N) if order is None else order
    return [MapCells(cells.counts[rows], cells.covariates[rows]) for rows in order.split(n_per_batch)]


def fitted(cells: MapCells, **kwargs: Any) -> RegulationMap:
    return fitted_to(split(cells, 128), **kwargs)


def fitted_to(batches: list[MapCells], **kwargs: Any) -> RegulationMap:
    module = build_map(**kwargs)
    module.fit(batches)
    return module.eval()


def covariates_of(cells: MapCells) -> np.ndarray:
    """Return one-hot batches, the standardised log library size and its square."""
    log_size = np.log(cells.counts.sum(1).double().numpy())
    depth = ((log_size - log_size.mean()) / log_size.std()).clip(-4, 4)
    return np.column_stack([cells.covariates.double().numpy(), depth, depth**2])


def residual(values: np.ndarray, covariates: np.ndarray) -> np.ndarray:
    return values - LinearRegression().fit(covariates, values).predict(covariates)


@torch.no_grad()
def map_of(module: RegulationMap, cells: MapCells) -> np.ndarray:
    """Return the signed influence ``(G, R)``."""
    return module.maps(module.regulator_values(module.values.log_expr(cells)), torch.arange(G)).regulation.numpy()


def ridge_of(module: RegulationMap, cells: MapCells) -> np.ndarray:
    """Return the ridge solution ``(G, R)`` of each gene, from values that its own count does not enter."""
    log_expr = module.values.log_expr(cells)
    truth = module.values.of_targets(log_expr, torch.arange(G)).double().numpy()
    covariates = covariates_of(cells)
    weight = np.zeros((G, R))
    for gene in range(G):
        others = [i for i in range(R) if REGULATORS[i] != gene]
        values = module.values.of_regulators(log_expr, torch.tensor([gene])).double().numpy()[:, others]
        values, target = (residual(v, covariates) for v in (values, truth[:, gene]))
        fit = Ridge(alpha=N * module.hiding.penalty, fit_intercept=False).fit(values, target)
        weight[gene, others] = fit.coef_
    return weight


# ---- where the gate starts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize(
    ("visible_share", "denoised_weight"),
    [(None, None), (None, 0.0), (None, 2.0), (0.2, None), (0.2, 0.0), (0.2, 2.0), (0.9, None), (0.9, 0.0)],
)
def test_the_map_of_a_fresh_module_is_the_ridge_solution(
    cells: MapCells, n_layers: int, visible_share: float | None, denoised_weight: float | None
) -> None:
    module = fitted(cells, n_layers=n_layers, visible_share=visible_share, denoised_weight=denoised_weight)
    found, expected = map_of(module, cells), ridge_of(module, cells)
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.99
    large = np.abs(expected) > 0.1 * np.abs(expected).max()
    assert (np.sign(found) == np.sign(expected))[large].all()


def test_covariates_start_at_the_best_linear_effects(cells: MapCells) -> None:
    module = fitted(cells, denoised_weight=0.0)
    log_expr = module.values.log_expr(cells)
    truth = module.values.of_targets(log_expr, torch.arange(G)).double().numpy()
    without = truth - module.values.of_regulators(log_expr).double().numpy() @ ridge_of(module, cells).T
    expected = LinearRegression(fit_intercept=False).fit(covariates_of(cells), without).coef_.T
    effects = module.regulation_decoder.effects
    found = torch.cat([*effects.categorical, effects.continuous]).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-3)


def test_depth_leaves_no_trace_in_the_map(cells: MapCells) -> None:
    """A regulator and a target share nothing but that they grow slower than the library size."""
    log_rate = 4 + 3 * torch.rand(N, 1) * torch.ones(G) + 0.3 * torch.randn(N, G)
    log_rate[:, [REGULATORS[0], 11]] *= 0.4
    cells = cells._replace(counts=torch.poisson(log_rate.exp()))
    log_expr = torch.log1p(cells.counts / cells.counts.sum(1, keepdim=True) * 1000)
    assert np.corrcoef(log_expr[:, REGULATORS[0]], log_expr[:, 11])[0, 1] > 0.5
    regulation = map_of(fitted(cells), cells)
    assert abs(regulation[11, 0]) < 0.1


def test_planted_edges_have_their_signs_and_stand_out(cells: MapCells) -> None:
    regulation = map_of(fitted(cells), cells)
    for edge, sign in ((ACTIVATED, 1), (REPRESSED, -1)):
        assert sign * regulation[edge] > 0.1
        assert np.abs(regulation[edge[0]]).argmax() == edge[1]


def test_the_gate_stays_inside_its_range_however_strong_the_edges(cells: MapCells) -> None:
    cells.counts[:, 7] = cells.counts[:, REGULATORS[0]]  # a twin
    module = fitted(cells, visible_share=0.99)
    gate = module.context(torch.arange(G)).gate
    assert gate.abs().max() < 0.9 + 1e-4
    assert np.corrcoef(map_of(module, cells).ravel(), ridge_of(module, cells).ravel())[0, 1] > 0.99


def test_the_start_draws_no_gradients(cells: MapCells) -> None:
    module = fitted(cells)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in module.parameters())
    assert not any(buffer.requires_grad for buffer in module.buffers())


# ---- what is read off the data ----------------------------------------------------------------------------------------


def test_what_is_read_off_the_data_agrees_with_numpy(cells: MapCells) -> None:
    module = fitted(cells)
    log_expr = module.values.log_expr(cells).double().numpy()
    z = (log_expr - log_expr.mean(0)) / log_expr.std(0)
    z = residual(z, covariates_of(cells))
    product = z[:, REGULATORS].T @ z / N
    shared = (product[:, REGULATORS] ** 2).sum() - (product[range(R), REGULATORS] ** 2).sum()
    penalty = 0.3 + shared / R - (R - 1) / N + R / 100
    assert module.hiding.penalty == pytest.approx(penalty, rel=1e-3)
    signal = N * ((product**2).sum() - (product[range(R), REGULATORS] ** 2).sum()) / (R * (G - 1))
    given = fitted(cells, denoised_weight=5 / max(signal, 1.25))
    torch.testing.assert_close(module.values.mixture.gain, given.values.mixture.gain, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(module.values.mixture.weight, given.values.mixture.weight, rtol=1e-3, atol=1e-5)


def test_shares_and_weights_that_are_given_are_kept(cells: MapCells) -> None:
    module = fitted(cells, visible_share=0.3, denoised_weight=0.0)
    assert float(module.hiding.visible_share) == pytest.approx(0.3)
    assert torch.equal(module.values.mixture.gain, torch.zeros(R))


def test_mixed_values_have_unit_variance_with_batch_effects_and_without(cells: MapCells) -> None:
    """Hiding and maps count on it: a regulator of which batches differ must not gain by that."""
    module = fitted(cells)
    values = module.regulator_values(module.values.log_expr(cells)).value.double().numpy()
    np.testing.assert_allclose(values.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(values.std(0), 1, rtol=1e-4)


# ---- what must not matter ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_per_batch", [7, N])
def test_cells_and_minibatches_in_another_order_do_not_matter(cells: MapCells, n_per_batch: int) -> None:
    module, other = fitted(cells), build_map()
    other.fit(split(cells, n_per_batch, torch.randperm(N)))
    np.testing.assert_allclose(map_of(other.eval(), cells), map_of(module, cells), rtol=1e-3, atol=1e-4)
    assert other.hiding.penalty == pytest.approx(module.hiding.penalty, rel=1e-5)


def test_genes_in_another_order_do_not_matter(cells: MapCells) -> None:
    order = torch.randperm(G)
    place = {gene: i for i, gene in enumerate(order.tolist())}
    permuted = cells._replace(counts=cells.counts[:, order])
    module, other = fitted(cells), fitted(permuted, regulators=[place[gene] for gene in REGULATORS])
    assert other.hiding.penalty == pytest.approx(module.hiding.penalty, rel=1e-5)
    for part in ("gain", "std"):
        expected = getattr(module.values.mixture, part)
        torch.testing.assert_close(getattr(other.values.mixture, part), expected, rtol=1e-3, atol=1e-4)
    gate = module.gate.pair_offset[order]
    torch.testing.assert_close(other.gate.pair_offset, gate, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(map_of(other, permuted), map_of(module, cells)[order.numpy()], rtol=1e-3, atol=1e-4)


def test_random_weights_of_a_fresh_module_do_not_matter(cells: MapCells) -> None:
    first, second = fitted(cells), fitted(cells)
    assert not torch.equal(first.gene_embedding.weight, second.gene_embedding.weight)
    np.testing.assert_allclose(map_of(first, cells), map_of(second, cells), rtol=1e-4, atol=1e-5)


def test_learning_it_twice_gives_the_same_as_once(cells: MapCells) -> None:
    module = fitted(cells)
    expected = map_of(module, cells)
    std = module.values.mixture.std.clone()
    module.fit(split(cells, 128))
    torch.testing.assert_close(module.values.mixture.std, std)
    np.testing.assert_allclose(map_of(module, cells), expected, rtol=1e-3, atol=1e-5)


def test_batch_effects_do_not_make_edges(cells: MapCells) -> None:
    rate = torch.full((N, G), 20.0) * (1 + 4 * cells.covariates[:, 1:] * (torch.arange(G) % 2))
    noise = cells._replace(counts=torch.poisson(rate))
    module = fitted(noise)
    log_expr = module.values.log_expr(noise)
    assert abs(np.corrcoef(log_expr[:, REGULATORS[0]], log_expr[:, 1])[0, 1]) > 0.5
    assert np.abs(map_of(module, noise)).max() < 0.1


# ---- odd data ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("visible_share", [None, 0.5, 1.0])
def test_silent_and_twin_regulators_give_finite_weights(cells: MapCells, visible_share: float | None) -> None:
    counts = cells.counts
    counts[:, REGULATORS[0]] = 0
    counts[:, REGULATORS[1]] = counts[:, REGULATORS[2]]
    regulation = map_of(fitted(cells, visible_share=visible_share), cells)
    assert np.isfinite(regulation).all()
    np.testing.assert_allclose(regulation[:, 0], 0, atol=1e-6)


@pytest.mark.parametrize("n_cells", [1, 2, 6])
def test_few_cells_give_finite_weights(cells: MapCells, n_cells: int) -> None:
    module = build_map()
    few = split(cells, n_cells)[0]
    module.fit([few])
    assert np.isfinite(map_of(module.eval(), few)).all()


def test_a_single_regulator_is_enough(cells: MapCells) -> None:
    module = fitted(cells, regulators=[REGULATORS[1]])
    with torch.no_grad():
        regulation = module.maps(module.regulator_values(module.values.log_expr(cells)), torch.arange(G)).regulation[
            :, 0
        ]
    assert regulation[ACTIVATED[0]] > 0.1
    assert (regulation == 0).nonzero().flatten().tolist() == [REGULATORS[1]]


@pytest.mark.parametrize("prior_weight", [0.0, 1.0, 2.0])
def test_a_prior_counts_as_far_as_it_is_trusted(cells: MapCells, prior_weight: float) -> None:
    weight = np.abs(map_of(fitted(cells), cells))
    strength = torch.zeros(G, R)
    for place, n_targets in enumerate([1, 2, 15, 1, 6]):
        strength[weight[:, place].argsort()[-n_targets:], place] = 1.0
    module = fitted(cells, prior_strength=strength, prior_sign=torch.zeros(G, R), prior_weight=prior_weight)
    trust = float(module.prior_strength.max())  # in edges of strength 1
    assert trust > 0
    start, _ = build_map().learn([cells])
    activity = prior_activity(module.values, [cells], start.weight, strength)
    torch.testing.assert_close(module.prior_factor, prior_factor(strength, trust, activity) ** prior_weight)
    assert (module.prior_factor == 1).all() == (prior_weight == 0)
    np.testing.assert_allclose(map_of(module, cells), map_of(fitted(cells), cells), atol=1e-5)  # it is read out later


@pytest.mark.parametrize("gene", [REGULATORS[1], 12], ids=["regulator", "target"])
def test_a_gene_with_the_same_count_in_all_cells_has_no_edges(cells: MapCells, gene: int) -> None:
    cells.counts[:, gene] = 3  # its values follow depth alone
    known = fitted(cells).known
    for values in (known.weight, known.sd, known.support, known.z):
        assert not values[gene].any()
        assert gene not in REGULATORS or not values[:, REGULATORS.index(gene)].any()
    assert known.support.any()


def test_what_depth_and_covariates_explain_whole_has_no_edges(cells: MapCells) -> None:
    three = MapCells(
        cells.counts[:3], torch.ones(3, N_BATCH) * torch.tensor([1.0, 0.0])
    )  # as many as there are columns
    known = fitted_to([three], min_cells=1).known
    for values in (known.weight, known.sd, known.support, known.z):
        assert not values.any()
