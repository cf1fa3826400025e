"""The expression branch equals its formula, written as loops over cells, heads, targets and regulators.

Dimension key
    B  cells      T  targets      R  regulators      D  embedding width
    H  heads      K  head width   C  width of the latent      S  expression states (the last is masked)
"""

import math
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from scdual.nn import ExpressionBlock, ExpressionBranch, GeneContext, RegulatorValues

B, D, H, K, C, S = 4, 6, 2, 3, 3, 5
TARGET, REGULATOR = torch.tensor([2, 5, 0, 7, 1]), torch.tensor([5, 1, 7])
T, R = len(TARGET), len(REGULATOR)
SELF_EDGES = [(1, 0), (4, 1), (3, 2)]
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
LAYERS = [1, 2, 3]


@dataclass
class Loops:
    """What a branch computes, one number at a time."""

    contribution: torch.Tensor  # (B, T)
    regulation: torch.Tensor  # (T, R)
    attention: torch.Tensor  # (T, R)


def build_branch(n_layers: int) -> ExpressionBranch:
    branch = ExpressionBranch(D, n_heads=H, n_head_width=K, n_kv_latent=C, n_layers=n_layers)
    for parameter in branch.parameters():
        nn.init.normal_(parameter, std=0.6)
    return branch


@pytest.fixture(params=[False, True], ids=["free", "prior"])
def genes(request: pytest.FixtureRequest) -> GeneContext:
    return GeneContext(
        target_state=torch.randn(T, D),
        regulator_state=torch.randn(R, D),
        expr_states=torch.randn(S, D),
        gate=torch.rand(T, R) * 2 - 1,
        keep_mask=TARGET[:, None] != REGULATOR,
        logit_bias=torch.rand(T, R) if request.param else None,
    )


@pytest.fixture
def values() -> RegulatorValues:
    return RegulatorValues(torch.randn(B, R), torch.randint(S - 1, (B, R)))


@pytest.fixture
def partly_hidden(values: RegulatorValues) -> RegulatorValues:
    visible = torch.tensor([[1, 0, 1], [0, 0, 1], [1, 1, 1], [0, 0, 0]], dtype=torch.bool)
    return values.hide(visible, S - 1)


def loop_scores(
    block: ExpressionBlock, genes: GeneContext, target_state: torch.Tensor, state: torch.Tensor
) -> torch.Tensor:
    """Return exp of the logits, (B, H, T, R), zero on self edges, for expression states (B, T, D) of the targets."""
    scores = torch.zeros(len(state), H, T, R)
    for b in range(len(state)):
        for t in range(T):
            query = block.gene_query_proj(genes.target_state[t]) + block.expr_query_proj(target_state[b, t])
            for r in range(R):
                gene_key = block.gene_key_up_proj(block.down_proj(genes.regulator_state[r]))
                key = gene_key + block.expr_key_proj(genes.expr_states[state[b, r]])
                bias = 0.0 if genes.logit_bias is None else genes.logit_bias[t, r].item()
                for h in range(H):
                    head = slice(h * K, (h + 1) * K)
                    if (t, r) not in SELF_EDGES:
                        scores[b, h, t, r] = math.exp(query[head] @ key[head] / math.sqrt(K) + bias)
    return scores


def loop_gain(block: ExpressionBlock, genes: GeneContext, h: int, r: int) -> torch.Tensor:
    return math.sqrt(R) * F.softplus(block.value_up_proj(block.down_proj(genes.regulator_state[r]))[h])


@torch.no_grad()
def loop_branch(branch: ExpressionBranch, genes: GeneContext, values: RegulatorValues) -> Loops:
    n_cells = len(values.value)
    target_state = genes.expr_states[-1].expand(n_cells, T, D)
    loops = Loops(torch.zeros(n_cells, T), torch.zeros(T, R), torch.zeros(T, R))
    for n, block in enumerate(branch.blocks):
        scores = loop_scores(block, genes, target_state, values.state)
        attn = scores / scores.sum(-1, keepdim=True)
        heads = torch.zeros(n_cells, T, H)
        for h in range(H):
            for t in range(T):
                for r in range(R):
                    weight = attn[:, h, t, r] * genes.gate[t, r] * loop_gain(block, genes, h, r)  # (B,)
                    heads[:, t, h] += weight * values.value[:, r]
                    loops.regulation[t, r] += (weight * values.value[:, r] ** 2).mean()
                    loops.attention[t, r] += attn[:, h, t, r].mean() / H / len(branch.blocks)
        loops.contribution += heads.sum(-1)
        if n < len(branch.updates):
            update = branch.updates[n]
            target_state = update.attn_norm(target_state + update.out_proj(heads))
            target_state = update.feed_forward_norm(target_state + update.feed_forward(target_state))
    return loops


@pytest.mark.parametrize("n_layers", LAYERS)
def test_contribution_is_gated_attention_on_values(genes: GeneContext, values: RegulatorValues, n_layers: int) -> None:
    branch = build_branch(n_layers)
    expected = loop_branch(branch, genes, values).contribution
    torch.testing.assert_close(branch(genes, values), expected, **CLOSE)


@pytest.mark.parametrize("n_layers", LAYERS)
def test_hidden_regulators_are_attended_to_in_the_masked_state_and_add_nothing(
    genes: GeneContext, partly_hidden: RegulatorValues, n_layers: int
) -> None:
    branch = build_branch(n_layers)
    found = branch(genes, partly_hidden)
    torch.testing.assert_close(found, loop_branch(branch, genes, partly_hidden).contribution, **CLOSE)
    torch.testing.assert_close(found[-1], torch.zeros(T))  # nothing visible in the last cell


def test_hiding_replaces_value_and_state(values: RegulatorValues) -> None:
    visible = torch.tensor([[True, False, True]])  # one choice for all cells
    hidden = values.hide(visible, S - 1)
    for b in range(B):
        assert hidden.value[b].tolist() == [values.value[b, 0], 0, values.value[b, 2]]
        assert hidden.state[b].tolist() == [values.state[b, 0], S - 1, values.state[b, 2]]


@pytest.mark.parametrize("n_layers", LAYERS)
def test_maps_of_fully_visible_cells_are_means_over_cells(
    genes: GeneContext, values: RegulatorValues, n_layers: int
) -> None:
    branch = build_branch(n_layers)
    maps, expected = branch.maps(genes, values, visible_share=1.0), loop_branch(branch, genes, values)
    torch.testing.assert_close(maps.attention, expected.attention, **CLOSE)
    torch.testing.assert_close(maps.regulation, expected.regulation, **CLOSE)
    assert torch.equal(maps.gate, genes.gate)


@pytest.mark.parametrize("visible_share", [0.3, 1.0])
def test_mean_attention_needs_no_tensor_of_cells(
    genes: GeneContext, values: RegulatorValues, visible_share: float
) -> None:
    branch = build_branch(1)
    block, masked = branch.blocks[0], genes.expr_states[-1]
    parts = block.fuse(genes)
    cell_weight = torch.rand(B, R)
    mean = block.mean_attention(block.fold_query(parts, masked), values, visible_share, cell_weight)
    per_cell = block.attention(parts, masked.expand(B, T, D), values.state, visible_share)
    torch.testing.assert_close(mean, (per_cell * cell_weight[:, None, None]).mean(0), **CLOSE)
    with torch.no_grad():
        seen = loop_scores(block, genes, masked.expand(B, T, D), values.state)
        hidden = loop_scores(block, genes, masked.expand(B, T, D), torch.full_like(values.state, S - 1))
    normaliser = visible_share * seen.sum(-1, keepdim=True) + (1 - visible_share) * hidden.sum(-1, keepdim=True)
    torch.testing.assert_close(per_cell, seen / normaliser, **CLOSE)


def test_attention_follows_the_expression_state_of_each_target(genes: GeneContext, values: RegulatorValues) -> None:
    block, target_state = build_branch(1).blocks[0], torch.randn(B, T, D)
    with torch.no_grad():
        scores = loop_scores(block, genes, target_state, values.state)
    found = block.attention(block.fuse(genes), target_state, values.state)
    torch.testing.assert_close(found, scores / scores.sum(-1, keepdim=True), **CLOSE)


def test_regulation_is_the_derivative_of_the_prediction_weighted_by_the_squared_value(
    genes: GeneContext, values: RegulatorValues
) -> None:
    branch = build_branch(1)
    value = values.value.clone().requires_grad_()
    prediction = branch(genes, values._replace(value=value))
    slopes = [torch.autograd.grad(prediction[:, t].sum(), value, retain_graph=True)[0] for t in range(T)]  # (B, R)
    rows = [(slope * value.detach() ** 2).mean(0) for slope in slopes]
    torch.testing.assert_close(branch.maps(genes, values, 1.0).regulation, torch.stack(rows), **CLOSE)


@pytest.mark.parametrize("n_layers", LAYERS)
@pytest.mark.parametrize("visible_share", [0.3, 1.0])
def test_maps_are_zero_on_self_edges_only(
    genes: GeneContext, values: RegulatorValues, n_layers: int, visible_share: float
) -> None:
    maps = build_branch(n_layers).maps(genes, values, visible_share)
    for part in (maps.regulation, maps.attention):
        assert part.shape == (T, R)
        assert torch.isfinite(part).all()
        assert (part == 0).nonzero().tolist() == sorted(map(list, SELF_EDGES))
    assert (maps.attention >= 0).all()
    assert torch.equal(maps.regulation.sign(), (genes.gate * genes.keep_mask).sign())


@pytest.mark.parametrize("n_layers", LAYERS)
@pytest.mark.parametrize(("target", "regulator"), SELF_EDGES)
def test_a_target_never_sees_its_own_value(
    genes: GeneContext, values: RegulatorValues, n_layers: int, target: int, regulator: int
) -> None:
    branch = build_branch(n_layers)
    changed = RegulatorValues(values.value.clone(), values.state.clone())
    changed.value[:, regulator] += 3
    changed.state[:, regulator] = (changed.state[:, regulator] + 1) % S
    difference = (branch(genes, changed) - branch(genes, values)).abs()
    assert difference[:, target].max() < 1e-5
    assert difference[:, torch.arange(T) != target].min() > 1e-5


@pytest.mark.parametrize("n_layers", LAYERS)
def test_a_gene_that_is_the_only_regulator_of_itself_gets_zeros(n_layers: int) -> None:
    branch = build_branch(n_layers)
    genes = GeneContext(
        target_state=torch.randn(1, D, requires_grad=True),
        regulator_state=torch.randn(1, D),
        expr_states=torch.randn(S, D),
        gate=torch.ones(1, 1),
        keep_mask=torch.zeros(1, 1, dtype=torch.bool),
        logit_bias=None,
    )
    values = RegulatorValues(torch.randn(B, 1), torch.randint(S, (B, 1)))
    prediction, maps = branch(genes, values), branch.maps(genes, values, 0.5)
    assert torch.equal(prediction, torch.zeros(B, 1))
    assert torch.equal(maps.regulation, torch.zeros(1, 1))
    assert torch.equal(maps.attention, torch.zeros(1, 1))
    prediction.sum().backward()
    assert torch.isfinite(genes.target_state.grad).all()


@pytest.mark.parametrize("n_layers", LAYERS)
def test_results_do_not_depend_on_the_other_cells_or_the_order_of_regulators(
    genes: GeneContext, values: RegulatorValues, n_layers: int
) -> None:
    branch = build_branch(n_layers)
    expected = branch(genes, values)
    one_by_one = [branch(genes, RegulatorValues(values.value[[b]], values.state[[b]])) for b in range(B)]
    torch.testing.assert_close(torch.cat(one_by_one), expected, **CLOSE)
    order = torch.tensor([2, 0, 1])
    permuted = genes._replace(
        regulator_state=genes.regulator_state[order],
        gate=genes.gate[:, order],
        keep_mask=genes.keep_mask[:, order],
        logit_bias=None if genes.logit_bias is None else genes.logit_bias[:, order],
    )
    found = branch(permuted, RegulatorValues(values.value[:, order], values.state[:, order]))
    torch.testing.assert_close(found, expected, **CLOSE)


def test_prior_bias_raises_attention_on_its_edge(values: RegulatorValues) -> None:
    branch = build_branch(1)
    genes = GeneContext(
        target_state=torch.randn(T, D),
        regulator_state=torch.randn(R, D),
        expr_states=torch.randn(S, D),
        gate=torch.ones(T, R),
        keep_mask=TARGET[:, None] != REGULATOR,
        logit_bias=torch.zeros(T, R),
    )
    told = genes._replace(logit_bias=genes.logit_bias.index_put((torch.tensor(0), torch.tensor(1)), torch.tensor(2.0)))
    change = branch.maps(told, values, 1.0).attention - branch.maps(genes, values, 1.0).attention
    assert change[0, 1] > 0.01
    assert (change[0, [0, 2]] < 0).all()
    torch.testing.assert_close(change[1:], torch.zeros(T - 1, R))


# ---- the start --------------------------------------------------------------------------------------------------------


def fresh_branch(n_layers: int) -> ExpressionBranch:
    return ExpressionBranch(D, n_heads=H, n_head_width=K, n_kv_latent=C, n_layers=n_layers)


def unit_values() -> RegulatorValues:
    """Values of unit variance, so that slopes weighted by the squared value are slopes."""
    value = torch.randn(B, R)
    return RegulatorValues(value / value.square().mean(0).sqrt(), torch.randint(S - 1, (B, R)))


@pytest.mark.parametrize("n_layers", LAYERS)
@pytest.mark.parametrize("visible_share", [0.3, 1.0])
def test_initial_gain_is_the_influence_of_an_open_gate(genes: GeneContext, n_layers: int, visible_share: float) -> None:
    branch, open_gate = fresh_branch(n_layers), genes._replace(gate=torch.ones(T, R))
    found, values = branch.initial_gain(genes), unit_values()
    torch.testing.assert_close(found, branch.maps(open_gate, values, visible_share).regulation, **CLOSE)
    torch.testing.assert_close(found, loop_branch(branch, open_gate, values).regulation, **CLOSE)


@pytest.mark.parametrize("n_layers", LAYERS)
def test_a_fresh_branch_is_linear_in_the_values(
    genes: GeneContext, partly_hidden: RegulatorValues, n_layers: int
) -> None:
    branch = fresh_branch(n_layers)
    expected = partly_hidden.value @ (branch.initial_gain(genes) * genes.gate).T  # hidden ones have value 0
    torch.testing.assert_close(branch(genes, partly_hidden), expected, **CLOSE)


def test_initial_gain_is_the_same_for_all_pairs_without_a_prior(genes: GeneContext) -> None:
    gain = fresh_branch(1).initial_gain(genes._replace(logit_bias=None))
    for t in range(T):
        n_seen = int(genes.keep_mask[t].sum())
        expected = genes.keep_mask[t] * H * math.sqrt(R) * math.log(2) / n_seen  # softplus of zero
        torch.testing.assert_close(gain[t], expected, **CLOSE)


@pytest.mark.parametrize("n_layers", LAYERS)
@pytest.mark.parametrize("factor", [0.2, 1.0, 3.0, 500.0])
def test_scaling_the_gain_scales_the_contribution(
    genes: GeneContext, values: RegulatorValues, n_layers: int, factor: float
) -> None:
    branch = fresh_branch(n_layers)
    gain, contribution = branch.initial_gain(genes), branch(genes, values)
    branch.scale_gain(factor)
    torch.testing.assert_close(branch.initial_gain(genes), factor * gain, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(branch(genes, values), factor * contribution, rtol=1e-3, atol=1e-5 * factor)
    assert all(parameter.requires_grad for parameter in branch.parameters())
