"""Where latent states lie before any count is seen.

Dimension key
    K  components      Z  latent dimensions
"""

import math

import torch
from torch import nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal


class LatentPrior(nn.Module):
    r"""A mixture of normal distributions that all batches share, its components learnt :cite:p:`Dilokthanakul16`.

    .. math:: p(z) = \sum_k \pi_k \, \mathcal{N}(z \mid \mu_k, \mathrm{diag} \, \sigma_k^2)

    Cells of one type gather around the same narrow components, from whichever batch they come: a batch that lies beside
    costs more than it does under one wide normal distribution. So batches mix, and types lie apart
    :cite:p:`Hrovatin23`.

    Parameters
    ----------
    n_latent
        Number of latent dimensions ``Z``.
    n_components
        Number of components ``K``.
    """

    start_log_var = -0.7  # half the variance of a standard normal distribution, of which the means are drawn
    log_var_limits = (-4.0, 3.0)

    def __init__(self, n_latent: int, n_components: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.randn(n_components, n_latent))
        self.log_var = nn.Parameter(torch.full((n_components, n_latent), self.start_log_var))
        self.logit = nn.Parameter(torch.zeros(n_components))

    def forward(self) -> MixtureSameFamily:
        """Return the distribution of latent states, event shape ``(Z,)``."""
        scale = (0.5 * self.log_var.clamp(*self.log_var_limits)).exp()
        return _NormalMixture(self.logit, Normal(self.mean, scale, validate_args=False))

    @torch.no_grad()
    def set_standard_normal(self) -> None:
        """Let all components be the standard normal distribution."""
        for parameter in self.parameters():
            nn.init.zeros_(parameter)


class _NormalMixture(MixtureSameFamily):
    """The mixture of torch, its density in fewer operations, and unchecked: a check waits for the graphics card."""

    def __init__(self, logits: torch.Tensor, normal: Normal) -> None:
        self.normal = normal
        weights, components = Categorical(logits=logits, validate_args=False), Independent(normal, 1, False)
        super().__init__(weights, components, validate_args=False)

    def log_prob(self, z: torch.Tensor) -> torch.Tensor:
        """Return the log density of states ``(..., Z)``, shape ``(...)``."""
        mean, sd = self.normal.loc, self.normal.scale  # (K, Z)
        distance = ((z[..., None, :] - mean) / sd).square().sum(-1)  # (..., K)
        log_volume = sd.log().sum(-1) + 0.5 * math.log(2 * math.pi) * z.shape[-1]  # (K,)
        return (self.mixture_distribution.logits - log_volume - 0.5 * distance).logsumexp(-1)


def kl_to_prior(qz: Normal, z: torch.Tensor, prior: MixtureSameFamily) -> torch.Tensor:
    r"""Return the KL divergence of posteriors from the prior, shape ``(B,)``, estimated at samples of them.

    .. math:: -\mathrm{H}(q) - \frac{1}{S} \sum_s \log p(z_s), \qquad z_s \sim q

    Parameters
    ----------
    qz
        Posteriors, batch shape ``(B, Z)``.
    z
        Samples, shape ``(B, Z)`` or ``(S, B, Z)``.
    prior
        Distribution of event shape ``(Z,)``.
    """
    log_prior = prior.log_prob(z)
    return -qz.entropy().sum(-1) - (log_prior if z.ndim == 2 else log_prior.mean(0))
