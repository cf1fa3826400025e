"""Worth and reach of a prior network, and the activities that it gives.

Dimension key
    N  cells      G  genes      R  regulators
"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LinearRegression

from scdual.module.map import MapCells, RegulationMap, prior_activity, prior_factor, prior_reach, prior_trust

N, G, REGULATORS = 500, 14, [3, 0, 8]
R = len(REGULATORS)

# ---- trust ------------------------------------------------------------------------------------------------------------


def test_trust_in_a_prior_grows_with_the_weights_of_its_pairs() -> None:
    weight, strength = torch.ones(20, 10), torch.zeros(20, 10)
    strength[:5] = 1.0  # 50 pairs
    assert prior_trust(weight, strength) == 0
    weight[:5] = 2.0
    excess = 50 * 3 / 60
    assert prior_trust(weight, strength) == pytest.approx(excess / (1 + excess))
    weight[:5] = 0.5  # weaker than the others
    assert prior_trust(weight, strength) == 0


def test_trust_in_a_prior_that_noise_could_explain_is_small() -> None:
    weight, strength = torch.randn(100, 20), torch.zeros(100, 20)
    strength[torch.randperm(100)[:30], torch.randint(20, (30,))] = 1.0
    assert prior_trust(weight, strength) < 0.5


def test_trust_stays_below_one() -> None:
    weight = torch.full((4, 3), 1e-4)
    weight[0, 0] = 1.0
    assert 0.9 < prior_trust(weight, (weight == 1).float()) < 1


def test_pairs_that_are_none_say_nothing_of_a_prior() -> None:
    weight, strength = torch.rand(20, 10) + 0.5, torch.zeros(20, 10)
    strength[:5] = 1.0
    weight[:5] *= 2
    trust = prior_trust(weight, strength)
    more_weight, more_strength = (torch.cat([values, torch.zeros(30, 10)]) for values in (weight, strength))
    more_strength[20:25] = 1.0  # edges onto genes that do not vary
    assert prior_trust(more_weight, more_strength) == pytest.approx(trust)


def test_a_prior_that_names_every_pair_is_not_trusted() -> None:
    weight = torch.rand(6, 3)
    weight[[0, 1, 2], [0, 1, 2]] = 0.0  # of a gene with itself
    assert prior_trust(weight, (weight != 0).float()) == 0


# ---- reach ------------------------------------------------------------------------------------------------------------


def test_reach_is_the_shrunken_number_of_targets() -> None:
    counts = [40, 4, 1, 0, 15]
    strength = torch.zeros(50, 5)
    for column, count in enumerate(counts):
        strength[:count, column] = 1.0
    known = np.array([40, 4, 1, 15])
    real = 1 - known.mean() / known.var(ddof=1)
    expected = 1 + real * (known / known.mean() - 1)
    found = prior_reach(strength)
    np.testing.assert_allclose(found[[0, 1, 2, 4]], expected, rtol=1e-5)
    assert found[3] == 1  # not in the prior
    torch.testing.assert_close(prior_reach(0.3 * strength), found)  # the scale of the strengths says nothing


def test_reach_of_edges_drawn_at_random_is_near_one() -> None:
    strength = (torch.rand(1000, 30, generator=torch.Generator().manual_seed(0)) < 0.05).float()
    assert (prior_reach(strength) - 1).abs().max() < 0.15


@pytest.mark.parametrize("n_regulators", [0, 1])
def test_without_regulators_to_compare_reach_is_one(n_regulators: int) -> None:
    strength = torch.zeros(10, 4)
    strength[:6, :n_regulators] = 1.0
    torch.testing.assert_close(prior_reach(strength), torch.ones(4))


def test_reach_of_regulators_with_as_many_targets_is_one() -> None:
    torch.testing.assert_close(prior_reach(torch.eye(4)), torch.ones(4))


# ---- activity ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def cells() -> MapCells:
    """Counts in two batches; genes 10 to 13 share a programme that their regulator, gene 3, is too rare to show."""
    log_rate = 3.5 + 0.3 * torch.randn(N, G)
    log_rate[:, 10:] += torch.randn(N, 1) - 3.0  # so few of all molecules that the others keep their shares
    log_rate[:, 3] = -4.0
    batch = F.one_hot(torch.randint(2, (N,)), 2).float()
    return MapCells(torch.poisson((log_rate + batch @ torch.randn(2, G)).exp()), batch)


@pytest.fixture
def fitted(cells: MapCells) -> RegulationMap:
    module = RegulationMap(G, regulators=REGULATORS, n_categories=[2], n_embed=8, n_heads=2)
    module.fit([cells])
    return module


def activity_by_hand(module: RegulationMap, cells: MapCells, loading: np.ndarray) -> np.ndarray:
    """Return ridge coefficients of genes on unit activities, one pair of regulator and gene after the other, ``(G, R)``."""
    values = module.values
    standardised = values.scale.standardise(values.log_expr(cells)).double().numpy()
    covariates = values.covariates(cells).double().numpy()
    free = standardised - LinearRegression().fit(covariates, standardised).predict(covariates)
    activity = free @ loading
    std = np.where(activity.std(0) > 0, activity.std(0), 1.0)
    correlation = np.zeros((R, G))
    for gene in range(G):
        for regulator in range(R):
            of_others = activity[:, regulator] - loading[gene, regulator] * free[:, gene]
            correlation[regulator, gene] = (of_others * free[:, gene]).mean() / std[regulator] / free[:, gene].std()
    activity /= std
    return np.abs(np.linalg.solve(activity.T @ activity / N + np.eye(R), correlation)).T


def test_activity_is_that_of_the_other_targets(fitted: RegulationMap, cells: MapCells) -> None:
    weight, strength = torch.randn(G, R), torch.zeros(G, R)
    strength[[1, 5, 10, 12], 0] = torch.tensor([1.0, 0.5, 1.0, 1.0])
    strength[[2, 11, 6], 1] = 1.0
    expected = activity_by_hand(fitted, cells, (weight.sign() * strength).double().numpy())
    expected[:, :2] /= expected[:, :2].mean(0)
    found = prior_activity(fitted.values, [cells], weight, strength)
    np.testing.assert_allclose(found[:, :2], expected[:, :2], rtol=2e-3, atol=2e-4)
    assert (found[:, 2] == 1).all()  # the prior does not know it
    halves = [MapCells(cells.counts[part], cells.covariates[part]) for part in torch.randperm(N).split(N // 2)]
    torch.testing.assert_close(prior_activity(fitted.values, halves, weight, strength), found, rtol=1e-4, atol=1e-5)


def test_activity_finds_targets_of_a_regulator_that_is_too_rare_to_tell(fitted: RegulationMap, cells: MapCells) -> None:
    strength = torch.zeros(G, R)
    strength[10:13, 0] = strength[[1, 2], 1] = 1.0
    found = prior_activity(fitted.values, [cells], torch.ones(G, R), strength)[:, 0]
    assert found.argsort(descending=True)[:4].sort().values.tolist() == [10, 11, 12, 13]
    assert found[13] > 3 * found[4:8].max()  # of which the prior says nothing


# ---- factor -----------------------------------------------------------------------------------------------------------


def test_factor_is_that_of_reach_and_edges() -> None:
    strength = torch.zeros(30, 3)
    strength[:20, 0] = strength[4, 1] = strength[:3, 2] = 1.0
    strength[9, 0] = 0.5
    found, reach = prior_factor(strength, 0.6), prior_reach(strength)
    assert float(found[25, 0]) == pytest.approx(float(reach[0]) ** 0.6)
    assert float(found[4, 1]) == pytest.approx(float(reach[1]) ** 0.6 / 0.4**0.5)
    assert float(found[9, 0]) == pytest.approx(float(reach[0]) ** 0.6 / 0.7**0.5)
    torch.testing.assert_close(prior_factor(strength, 0.0), torch.ones(30, 3))
    activity = torch.rand(30, 3)
    torch.testing.assert_close(prior_factor(strength, 0.6, activity), found * activity**0.6)
    torch.testing.assert_close(prior_factor(strength, 0.0, activity), torch.ones(30, 3))


def test_squared_factor_of_edges_is_how_much_larger_their_squared_weights_are() -> None:
    weight, strength = torch.ones(400, 10), torch.zeros(400, 10)
    strength[:200] = 1.0  # so many that the doubtful ones do not count
    weight[:200] = 2.0
    edge = prior_factor(strength, prior_trust(weight, strength))[0]
    torch.testing.assert_close(edge.square(), torch.full((10,), 4.0), rtol=0.01, atol=0)


# ---- in a map ---------------------------------------------------------------------------------------------------------


def told(cells: MapCells, strength: torch.Tensor, **options: float) -> RegulationMap:
    """Return a map of the cells that was fitted with a prior."""
    module = RegulationMap(
        G,
        regulators=REGULATORS,
        prior_strength=strength,
        prior_sign=strength.clone(),
        n_categories=[2],
        n_embed=8,
        n_heads=2,
        **options,
    )
    module.fit([cells])
    return module


def prior_of_large_weights(module: RegulationMap) -> torch.Tensor:
    size = module.known.weight.abs()
    return (size > size.quantile(0.7)).float()


def test_edges_onto_genes_of_one_count_say_nothing(cells: MapCells) -> None:
    cells.counts[:, 5], cells.counts[:, 6] = 2.0, 0.0
    strength = prior_of_large_weights(told(cells, torch.zeros(G, R)))
    found = []
    for on_constant in (0.0, 1.0):
        strength[[5, 6]] = on_constant
        module = told(cells, strength)
        trust = module.prior_strength.max()
        found.append(
            module.prior_factor / prior_reach(strength) ** trust
        )  # reach counts the edges, whatever they lead to
        assert found[-1].max() > 1.1
    varies = ~torch.isin(torch.arange(G), torch.tensor([5, 6]))
    torch.testing.assert_close(found[0][varies], found[1][varies])


@pytest.mark.parametrize("prior_weight", [0.0, 1.0, 50.0, 1e4])
def test_weights_are_finite_and_edges_stay_whatever_the_weight_of_a_prior(cells: MapCells, prior_weight: float) -> None:
    plain = told(cells, torch.zeros(G, R))
    module = told(cells, prior_of_large_weights(plain), prior_weight=prior_weight)
    weight = module.known.weight * module.prior_factor
    assert weight.isfinite().all()
    assert ((weight != 0) == (plain.known.weight != 0)).all()
