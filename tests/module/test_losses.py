"""Loss terms equal sums worked out by hand."""

import pytest
import torch
from scipy.stats import nbinom
from scvi.distributions import NegativeBinomial, Poisson, ZeroInflatedNegativeBinomial
from torch.distributions import Distribution

from scdual.module import (
    classification_loss,
    edge_sparsity,
    prior_disagreement,
    reconstruction_loss,
    regulation_loss,
)

GATE = torch.tensor([[0.5, -0.2, 0.0], [-1.0, 0.4, 0.9]])


def negative_binomial() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return counts, most of them zero, means and inverse dispersions of 6 cells and 40 genes; one cell has no counts."""
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(6, 40, generator=generator).sub(1.0).exp()
    theta = torch.randn(6, 40, generator=generator).exp()
    counts = torch.poisson(3 * mean, generator=generator).where(mean > 0.4, 0)
    counts[2] = 0
    return counts, mean, theta


def test_reconstruction_loss_of_a_negative_binomial_is_that_of_scipy() -> None:
    counts, mean, theta = negative_binomial()
    expected = -nbinom.logpmf(counts, theta, theta / (theta + mean)).sum(1)
    found = reconstruction_loss(NegativeBinomial(mu=mean, theta=theta), counts)
    torch.testing.assert_close(found.double(), torch.from_numpy(expected), rtol=1e-5, atol=1e-5)


def test_reconstruction_loss_of_samples_is_that_of_each() -> None:
    counts, mean, theta = negative_binomial()
    together = reconstruction_loss(NegativeBinomial(mu=torch.stack([mean, 2 * mean]), theta=theta), counts)
    apart = [reconstruction_loss(NegativeBinomial(mu=each, theta=theta), counts) for each in (mean, 2 * mean)]
    torch.testing.assert_close(together, torch.stack(apart))


def test_gradients_of_the_reconstruction_loss_are_those_of_scvi_tools() -> None:
    counts, *parameters = negative_binomial()
    ours, theirs = ([value.clone().requires_grad_() for value in parameters] for _ in range(2))
    reconstruction_loss(NegativeBinomial(mu=ours[0], theta=ours[1]), counts).sum().backward()
    (-NegativeBinomial(mu=theirs[0], theta=theirs[1]).log_prob(counts)).sum().backward()
    for own, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own.grad, other.grad)


@pytest.mark.parametrize("family", [Poisson, ZeroInflatedNegativeBinomial])
def test_reconstruction_loss_of_other_families_is_their_own(family: type[Distribution]) -> None:
    counts, mean, theta = negative_binomial()
    given = {"rate": mean} if family is Poisson else {"mu": mean, "theta": theta, "zi_logits": mean}
    found = reconstruction_loss(family(**given), counts)
    torch.testing.assert_close(found, -family(**given).log_prob(counts).sum(1))


def test_regulation_loss_is_the_mean_squared_error_of_each_cell() -> None:
    prediction, truth = torch.tensor([[1.0, 2.0], [0.0, -1.0]]), torch.tensor([[0.0, 4.0], [0.0, 0.0]])
    torch.testing.assert_close(regulation_loss(prediction, truth), torch.tensor([2.5, 0.5]))


def test_regulation_loss_is_one_when_regulators_explain_nothing() -> None:
    truth = torch.randn(4000, 5)
    torch.testing.assert_close(regulation_loss(torch.zeros_like(truth), truth).mean().item(), 1.0, rtol=0, atol=0.05)


def test_edge_sparsity_is_the_strength_into_a_target() -> None:
    torch.testing.assert_close(edge_sparsity(GATE).item(), (0.7 + 2.3) / 2)
    assert edge_sparsity(torch.zeros(4, 3)) == 0


@pytest.mark.parametrize(
    ("strength", "sign", "expected"),
    [
        ([[1, 0, 0], [0, 0, 0]], [[1, 0, 0], [0, 0, 0]], 0.0),  # as told
        ([[1, 0, 0], [0, 0, 0]], [[-1, 0, 0], [0, 0, 0]], 0.5),  # the other way round
        ([[0, 1, 0], [0, 0, 0]], [[0, 1, 0], [0, 0, 0]], 0.2),
        ([[1, 1, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]], 0.0),  # unknown sign
        ([[0, 0, 0], [1, 0, 0]], [[0, 0, 0], [1, 0, 0]], 1.0),  # fully opposite
        ([[0.6, 0, 0], [0.2, 0, 0]], [[-1, 0, 0], [1, 0, 0]], (0.6 * 0.5 + 0.2) / 2),  # weighted by strength
        ([[0, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]], 0.0),  # no edge
    ],
)
def test_prior_disagreement(strength: list[list[int]], sign: list[list[int]], expected: float) -> None:
    found = prior_disagreement(GATE, torch.tensor(strength).float(), torch.tensor(sign).float())
    torch.testing.assert_close(found.item(), expected)


def test_classification_loss_is_the_cross_entropy_of_the_labelled_cells() -> None:
    logits = torch.tensor([[2.0, 0.0], [1.0, 1.0], [0.0, 9.0]])
    unlabelled = 2
    expected = (torch.log1p(torch.exp(torch.tensor(-2.0))) + torch.log(torch.tensor(2.0))) / 2
    torch.testing.assert_close(classification_loss(logits, torch.tensor([0, 1, unlabelled])), expected)
    assert classification_loss(logits, torch.full((3,), unlabelled)) == 0
