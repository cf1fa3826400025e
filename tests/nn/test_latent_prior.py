"""The prior of latent states is a mixture, as SciPy has it, and the divergence from it is right on average."""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import logsumexp
from torch.distributions import Normal, kl_divergence

from scdual.nn import LatentPrior, kl_to_prior

B, K, Z = 5, 3, 2


@pytest.fixture
def prior() -> LatentPrior:
    prior = LatentPrior(Z, K)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.normal_()
    return prior


def test_its_density_is_that_of_a_mixture(prior: LatentPrior) -> None:
    z = torch.randn(7, B, Z)
    mean, sd, logit = (p.detach().numpy() for p in (prior.mean, (0.5 * prior.log_var).exp(), prior.logit))
    each = [stats.norm(mean[k], sd[k]).logpdf(z.numpy()).sum(-1) + logit[k] - logsumexp(logit) for k in range(K)]
    np.testing.assert_allclose(prior().log_prob(z).detach(), logsumexp(each, axis=0), rtol=1e-4)


def test_no_component_becomes_a_point(prior: LatentPrior) -> None:
    torch.nn.init.constant_(prior.log_var, -100.0)
    np.testing.assert_allclose(prior().component_distribution.variance.detach(), np.exp(-4.0), rtol=1e-5)


def test_the_divergence_is_right_on_average() -> None:
    prior = LatentPrior(Z, K)
    prior.set_standard_normal()
    qz = Normal(torch.randn(B, Z), torch.rand(B, Z) + 0.1)
    found = kl_to_prior(qz, qz.sample((50_000,)), prior())
    torch.testing.assert_close(found, kl_divergence(qz, Normal(0.0, 1.0)).sum(-1), rtol=0.02, atol=0.02)


def test_one_sample_is_one_of_many(prior: LatentPrior) -> None:
    qz = Normal(torch.randn(B, Z), torch.rand(B, Z) + 0.1)
    z = qz.sample((2,))
    found = torch.stack([kl_to_prior(qz, one, prior()) for one in z])
    torch.testing.assert_close(kl_to_prior(qz, z, prior()), found.mean(0))
