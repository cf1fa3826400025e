"""Worth and reach of a prior network."""

import numpy as np
import pytest
import torch

from scdual.module.map import prior_factor, prior_reach, prior_trust

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
    weight = torch.zeros(4, 3)
    weight[0, 0] = 1.0
    assert 0.9 < prior_trust(weight, (weight > 0).float()) < 1


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


def test_squared_factor_of_edges_is_how_much_larger_their_squared_weights_are() -> None:
    weight, strength = torch.ones(400, 10), torch.zeros(400, 10)
    strength[:200] = 1.0  # so many that the doubtful ones do not count
    weight[:200] = 2.0
    edge = prior_factor(strength, prior_trust(weight, strength))[0]
    torch.testing.assert_close(edge.square(), torch.full((10,), 4.0), rtol=0.01, atol=0)
