"""The probability of a sign is calibrated, and that of a mixture written out."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

from scdual.module.map._sign import SignMixture, evenly_spaced_pairs, sign_probability


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_the_probability_of_a_sign_is_how_often_it_is_right(rng: np.random.Generator) -> None:
    shape = (2000, 20)
    truth = rng.normal(size=shape) * np.where(rng.random(shape) < 0.2, 1.0, 0.1)
    sd = rng.uniform(0.1, 0.6, size=shape)
    estimate = truth + sd * rng.normal(size=shape)
    stated = sign_probability(torch.tensor(estimate), torch.tensor(sd**2)).numpy()
    is_right = np.sign(estimate) == np.sign(truth)
    for low in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95):
        chosen = (stated >= low) & (stated < low + 0.1)
        assert chosen.sum() > 200
        assert abs(is_right[chosen].mean() - stated[chosen].mean()) < 0.03


def test_it_is_that_of_the_mixture_for_weak_and_for_huge_estimates(rng: np.random.Generator) -> None:
    estimate = rng.normal(size=(30, 4)) * 10 ** rng.uniform(-3, 2, size=(30, 4))
    variance = 10 ** rng.uniform(-6, 1, size=(30, 4))
    mixture = SignMixture(torch.tensor(estimate), torch.tensor(variance))
    found = mixture.right(torch.tensor(estimate), torch.tensor(variance)).numpy()
    grid, shares = mixture.grid.numpy(), np.maximum(mixture.shares.numpy(), 1e-30)
    total = grid + variance[..., None]
    log_weight = norm.logpdf(estimate[..., None], scale=np.sqrt(total)) + np.log(shares)
    weight = np.exp(log_weight - log_weight.max(-1, keepdims=True))
    weight /= weight.sum(-1, keepdims=True)
    z = np.abs(estimate[..., None]) * np.sqrt(grid / (total * variance[..., None]))
    np.testing.assert_allclose(found, (weight * norm.cdf(z)).sum(-1), rtol=1e-9)


def test_a_sample_of_many_pairs_reaches_to_the_last() -> None:
    """Single precision holds no whole number above 2^24 exactly: the last place would lie behind the end."""
    n_pairs = 2**24 + 4
    estimate = torch.zeros(n_pairs // 2**12 + 1, 2**12)
    estimate.view(-1)[:n_pairs] = 1.0
    estimate.view(-1)[n_pairs - 1] = 7.0
    sample, _ = evenly_spaced_pairs(estimate, torch.ones_like(estimate))
    assert len(sample) == 50_000
    assert sample[-1] == 7
