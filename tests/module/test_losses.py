"""Loss terms equal sums worked out by hand."""

import pytest
import torch

from scdual.module import classification_loss, edge_sparsity, prior_disagreement, regulation_loss

GATE = torch.tensor([[0.5, -0.2, 0.0], [-1.0, 0.4, 0.9]])


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
