"""Estimate the likelihood of cells under the count model.

Dimension key
    S  Monte Carlo samples      B  cells in the minibatch      G  genes      Z  latent dimensions      N  batches
"""

import math
from collections.abc import Iterable
from typing import Any, Protocol

import torch
from scvi import REGISTRY_KEYS

from scdual.nn import kl_to_prior

Tensors = dict[str, torch.Tensor]


class CountModel(Protocol):
    """What the likelihood needs of a module: its posterior, and counts given latent states."""

    @property
    def device(self) -> torch.device:
        """Where its weights are."""

    def infer(self, tensors: Tensors, n_samples: int = 1) -> dict[str, Any]:
        """Return the posterior ``qz`` and samples ``z`` of it."""

    def generate(self, tensors: Tensors, inferred: dict[str, Any]) -> dict[str, Any]:
        """Return the distributions of the counts ``px`` and of latent states ``pz``."""


def marginal_log_likelihood(
    model: CountModel, tensors: Tensors, *, n_samples: int, n_samples_per_pass: int
) -> torch.Tensor:
    r"""Return the marginal log-likelihood of each cell, shape ``(B,)``, by importance sampling.

    .. math:: \log \frac{1}{S} \sum_s \frac{p(x \mid z_s) \, p(z_s)}{q(z_s \mid x)}, \qquad z_s \sim q(z \mid x)

    Parameters
    ----------
    model
        The model, in evaluation mode.
    tensors
        A minibatch with dense counts ``(B, G)``.
    n_samples
        Number of samples ``S``.
    n_samples_per_pass
        Samples held in memory at once, each of size ``B * G``.
    """
    x = tensors[REGISTRY_KEYS.X_KEY].to(model.device)
    log_weights = []
    for first in range(0, n_samples, n_samples_per_pass):
        n_pass = min(n_samples_per_pass, n_samples - first)
        sampled = model.infer(tensors, n_pass)
        generated = model.generate(tensors, sampled)
        z = sampled["z"]  # (S, B, Z), without S for one sample
        log_weight = generated["px"].log_prob(x).sum(-1)
        log_weight = log_weight + generated["pz"].log_prob(z) - sampled["qz"].log_prob(z).sum(-1)
        log_weights.append(log_weight.reshape(n_pass, len(x)))
    return torch.cat(log_weights).logsumexp(0) - math.log(n_samples)


@torch.inference_mode()
def batch_evidence(model: CountModel, dataloader: Iterable[Tensors], *, n_batches: int) -> torch.Tensor:
    """Return how well each of the first batches explains cells: the evidence lower bound as if they came from it.

    Parameters
    ----------
    model
        The model, in evaluation mode.
    dataloader
        Minibatches of the cells.
    n_batches
        Number of batches ``N`` to compare.

    Returns
    -------
    Nats at the mean of each cell's posterior, one row per cell, ``N`` columns.
    """
    evidence = []
    for tensors in dataloader:
        x, batch = tensors[REGISTRY_KEYS.X_KEY].to(model.device), tensors[REGISTRY_KEYS.BATCH_KEY]
        moved = [tensors | {REGISTRY_KEYS.BATCH_KEY: torch.full_like(batch, code)} for code in range(n_batches)]
        evidence.append(torch.stack([_evidence(model, x, cells) for cells in moved], dim=1))
    return torch.cat(evidence)


def _evidence(model: CountModel, x: torch.Tensor, tensors: Tensors) -> torch.Tensor:
    inferred = model.infer(tensors)
    inferred["z"] = inferred["qz"].loc
    generated = model.generate(tensors, inferred)
    return generated["px"].log_prob(x).sum(-1) - kl_to_prior(inferred["qz"], inferred["z"], generated["pz"])
