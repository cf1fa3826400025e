"""Pooling equals a loop over cells and their expressed genes."""

import math

import pytest
import torch
from torch import nn

from scdual.nn import LatentPooling, PosteriorHead, Tokens

B, G, D, P, W, S, Z = 5, 12, 6, 3, 4, 5, 2
EMPTY_CELL = 2
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
NO_SHIFT = torch.zeros(B, P * W)


@pytest.fixture
def state() -> torch.Tensor:
    state = torch.randint(S - 1, (B, G)) * (torch.rand(B, G) < 0.5)
    state[EMPTY_CELL] = 0
    return state


@pytest.fixture
def scaled_expr(state: torch.Tensor) -> torch.Tensor:
    return torch.rand(B, G) * (state > 0)


@pytest.fixture
def gene_state() -> torch.Tensor:
    return torch.randn(G, D)


@pytest.fixture
def expr_states() -> torch.Tensor:
    return torch.randn(S, D)


def tokens(scaled_expr: torch.Tensor, state: torch.Tensor) -> Tokens:
    cell, gene = state.nonzero().unbind(1)
    return Tokens(cell, gene, scaled_expr[cell, gene], state[cell, gene] - 1)


def build_pooling(dropout_rate: float = 0.0) -> LatentPooling:
    pooling = LatentPooling(G, n_embed=D, n_pool=P, n_width=W, n_heads=2, dropout_rate=dropout_rate)
    nn.init.normal_(pooling.norm.weight)
    nn.init.normal_(pooling.norm.bias)
    return pooling


@torch.no_grad()
def loop_pooling(
    pooling: LatentPooling,
    scaled_expr: torch.Tensor,
    state: torch.Tensor,
    shift: torch.Tensor,
    gene_state: torch.Tensor,
    expr_states: torch.Tensor,
) -> torch.Tensor:
    pooled = torch.zeros(len(state), P, W)
    for b in range(len(state)):
        genes = [g for g in range(G) if state[b, g] > 0]
        for p in range(P):
            score, value = [], []
            for g in genes:
                expr_state = expr_states[state[b, g]]
                key = pooling.gene_key_proj(gene_state[g]) + pooling.state_key_proj(expr_state)
                score.append(math.exp(pooling.query[p] @ key / math.sqrt(D)))
                value.append(scaled_expr[b, g] * pooling.gene_value[g] + pooling.state_value_proj(expr_state))
            for s, v in zip(score, value, strict=True):
                pooled[b, p] += s / sum(score) * v
    return pooling.block(pooling.norm(pooled) + shift.reshape(-1, P, W))


def test_pooling_equals_a_loop_over_expressed_genes(
    scaled_expr: torch.Tensor, state: torch.Tensor, gene_state: torch.Tensor, expr_states: torch.Tensor
) -> None:
    pooling = build_pooling()
    shift = torch.randn(B, P * W)
    found = pooling(tokens(scaled_expr, state), shift, gene_state, expr_states)
    expected = loop_pooling(pooling, scaled_expr, state, shift, gene_state, expr_states)
    torch.testing.assert_close(found, expected, **CLOSE)


@pytest.mark.parametrize("cells", [[EMPTY_CELL], [EMPTY_CELL, EMPTY_CELL], [0, EMPTY_CELL]])
def test_cells_without_counts_are_finite(
    cells: list[int],
    scaled_expr: torch.Tensor,
    state: torch.Tensor,
    gene_state: torch.Tensor,
    expr_states: torch.Tensor,
) -> None:
    pooling = build_pooling(0.5)
    pooled = pooling(tokens(scaled_expr[cells], state[cells]), NO_SHIFT[cells], gene_state, expr_states)
    assert pooled.shape == (len(cells), P, W)
    pooled.square().sum().backward()
    assert torch.isfinite(pooled).all()
    assert all(torch.isfinite(p.grad).all() for p in pooling.parameters() if p.grad is not None)


def test_order_of_genes_does_not_matter(
    scaled_expr: torch.Tensor, state: torch.Tensor, gene_state: torch.Tensor, expr_states: torch.Tensor
) -> None:
    pooling, order = build_pooling(), torch.randperm(G)
    expected = pooling(tokens(scaled_expr, state), NO_SHIFT, gene_state, expr_states)
    pooling.gene_value.data = pooling.gene_value.data[order]
    found = pooling(tokens(scaled_expr[:, order], state[:, order]), NO_SHIFT, gene_state[order], expr_states)
    torch.testing.assert_close(found, expected, **CLOSE)


def test_order_of_tokens_does_not_matter(
    scaled_expr: torch.Tensor, state: torch.Tensor, gene_state: torch.Tensor, expr_states: torch.Tensor
) -> None:
    pooling, given = build_pooling(), tokens(scaled_expr, state)
    order = torch.randperm(len(given.cell))
    expected = pooling(given, NO_SHIFT, gene_state, expr_states)
    found = pooling(Tokens(*(each[order] for each in given)), NO_SHIFT, gene_state, expr_states)
    torch.testing.assert_close(found, expected, **CLOSE)


def test_other_cells_do_not_matter(
    scaled_expr: torch.Tensor, state: torch.Tensor, gene_state: torch.Tensor, expr_states: torch.Tensor
) -> None:
    pooling = build_pooling(0.5).eval()
    expected = pooling(tokens(scaled_expr, state), NO_SHIFT, gene_state, expr_states)
    for b in range(B):
        alone = pooling(tokens(scaled_expr[[b]], state[[b]]), NO_SHIFT[[b]], gene_state, expr_states)
        torch.testing.assert_close(alone[0], expected[b], **CLOSE)


def test_tokens_are_hidden_only_while_training(
    scaled_expr: torch.Tensor, state: torch.Tensor, gene_state: torch.Tensor, expr_states: torch.Tensor
) -> None:
    pooling = build_pooling(0.5)
    pooling.block.eval()  # so that only tokens are dropped
    expected = loop_pooling(pooling, scaled_expr, state, NO_SHIFT, gene_state, expr_states)
    assert not torch.allclose(pooling(tokens(scaled_expr, state), NO_SHIFT, gene_state, expr_states), expected, **CLOSE)
    pooling.eval()
    torch.testing.assert_close(
        pooling(tokens(scaled_expr, state), NO_SHIFT, gene_state, expr_states), expected, **CLOSE
    )


def test_all_tokens_may_be_hidden(
    scaled_expr: torch.Tensor, state: torch.Tensor, gene_state: torch.Tensor, expr_states: torch.Tensor
) -> None:
    pooling = build_pooling(1.0)
    pooling.block.eval()
    nothing = torch.zeros(B, G)
    expected = loop_pooling(pooling, nothing, nothing.long(), NO_SHIFT, gene_state, expr_states)
    found = pooling(tokens(scaled_expr, state), NO_SHIFT, gene_state, expr_states)
    torch.testing.assert_close(found, expected, **CLOSE)


def test_posterior_reads_mean_and_variance_off_the_pooled_latents() -> None:
    head, pooled = PosteriorHead(P * W, Z), torch.randn(B, P, W)
    posterior = head(pooled)
    flat = pooled.reshape(B, P * W)
    torch.testing.assert_close(posterior.mean, flat @ head.mean_proj.weight.T + head.mean_proj.bias)
    log_var = flat @ head.log_var_proj.weight.T + head.log_var_proj.bias
    torch.testing.assert_close(posterior.variance, log_var.exp() + 1e-4)


@pytest.mark.parametrize("size", [-1e4, 1e4])
def test_posterior_of_extreme_latents_is_finite(size: float) -> None:
    posterior = PosteriorHead(P * W, Z)(torch.full((B, P, W), size))
    assert torch.isfinite(posterior.stddev).all()
    assert (posterior.stddev >= 0.99e-2).all()
