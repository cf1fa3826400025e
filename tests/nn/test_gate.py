"""The gate is the expectation of a three-way distribution, written out by loops."""

import math

import pytest
import torch
from torch import nn

from scdual.nn import SignedGate

G, R, D, Q = 12, 4, 6, 3
TARGET = torch.tensor([7, 0, 3, 11, 5])


def build_gate() -> SignedGate:
    gate = SignedGate(G, R, n_embed=D, n_rank=Q)
    for parameter in gate.parameters():
        nn.init.normal_(parameter, std=0.7)
    return gate


@pytest.fixture
def states() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(len(TARGET), D), torch.randn(R, D)


@torch.no_grad()
def loop_gate(gate: SignedGate, target_state: torch.Tensor, regulator_state: torch.Tensor) -> torch.Tensor:
    expected = torch.zeros(len(TARGET), R)
    for j, gene in enumerate(TARGET.tolist()):
        for i in range(R):
            score = []
            for c, sign in enumerate((-1, 0, 1)):
                rows = slice(c * Q, (c + 1) * Q)
                left = gate.target_proj.weight[rows] @ target_state[j] + gate.target_proj.bias[rows]
                right = gate.regulator_proj.weight[rows] @ regulator_state[i] + gate.regulator_proj.bias[rows]
                offset = sign * gate.pair_offset[gene, i]
                score.append(math.exp(left @ right / math.sqrt(Q) + gate.class_bias[c] + offset))
            expected[j, i] = (score[2] - score[0]) / sum(score)
    return expected


def test_gate_is_probability_to_activate_minus_to_repress(states: tuple[torch.Tensor, torch.Tensor]) -> None:
    gate = build_gate()
    torch.testing.assert_close(gate(*states, TARGET), loop_gate(gate, *states))


def test_gate_is_the_expectation_at_evaluation(states: tuple[torch.Tensor, torch.Tensor]) -> None:
    gate = build_gate().eval()
    torch.testing.assert_close(gate(*states, TARGET), loop_gate(gate, *states))
    assert torch.equal(gate(*states, TARGET), gate(*states, TARGET))


def test_gate_stays_between_minus_one_and_one(states: tuple[torch.Tensor, torch.Tensor]) -> None:
    gate = build_gate()
    nn.init.normal_(gate.pair_offset, std=50)
    assert gate(*states, TARGET).abs().max() <= 1 + 1e-6


def test_gate_is_never_sampled(states: tuple[torch.Tensor, torch.Tensor]) -> None:
    gate = build_gate()
    assert gate.training
    assert torch.equal(gate(*states, TARGET), gate(*states, TARGET))


def test_gradients_reach_all_parameters(states: tuple[torch.Tensor, torch.Tensor]) -> None:
    gate = build_gate()
    (gate(*states, TARGET) * torch.randn(len(TARGET), R)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in gate.parameters())
    seen = gate.pair_offset.grad.abs().sum(1) > 0
    assert seen.nonzero().flatten().tolist() == sorted(TARGET.tolist())


def test_gate_is_zero_at_the_start_and_can_leave_it(states: tuple[torch.Tensor, torch.Tensor]) -> None:
    gate = SignedGate(G, R, n_embed=D, n_rank=Q)
    found = gate(*states, TARGET)
    torch.testing.assert_close(found, torch.zeros(len(TARGET), R))
    (found * torch.randn(len(TARGET), R)).sum().backward()
    for parameter in (gate.target_proj.weight, gate.class_bias, gate.pair_offset):
        assert parameter.grad.abs().sum() > 0


def test_gate_takes_the_expectation_it_is_set_to(states: tuple[torch.Tensor, torch.Tensor]) -> None:
    gate = SignedGate(G, R, n_embed=D, n_rank=Q)
    expected = torch.rand(G, R) * 1.98 - 0.99
    expected[3] = torch.tensor([0.0, 0.99, -0.99, 1e-4])
    gate.set_expectation(expected)
    torch.testing.assert_close(gate(*states, TARGET), expected[TARGET], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(loop_gate(gate, *states), expected[TARGET], rtol=1e-4, atol=1e-5)
    assert gate.pair_offset.requires_grad


def test_opposite_expectations_have_opposite_offsets() -> None:
    gate, opposite = (SignedGate(G, R, n_embed=D, n_rank=Q) for _ in range(2))
    expected = torch.rand(G, R) * 1.8 - 0.9
    gate.set_expectation(expected)
    opposite.set_expectation(-expected)
    torch.testing.assert_close(opposite.pair_offset, -gate.pair_offset, rtol=1e-4, atol=1e-5)
    gate.set_expectation(torch.zeros(G, R))
    assert torch.equal(gate.pair_offset, torch.zeros(G, R))
