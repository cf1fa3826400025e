"""Predict each target from the values of its regulators, never from its own.

The attention of target j on regulator i in cell b is a softmax over regulators of fused queries and keys,
(gene query + expression query) . (gene key + expression key). It splits into a part that no cell changes, one
``(T, R)`` matrix per head, and a part that depends on the regulator's value only through its expression state. The
first block therefore needs no tensor of size B x T x R: it sums over expression states with plain matrix products.

Inside tensors row = target, column = regulator.

Dimension key
    B  cells      T  targets      R  regulators      D  embedding width
    H  heads      K  head width   C  width of the latent shared by keys and values
    S  expression states: zero, bins, masked (the last)
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from scdual.nn._attention import FeedForward, exp_below_one

_SMALLEST = 1e-12


class GeneContext(NamedTuple):
    """What no cell changes: states of targets and regulators, and the network that constrains their attention."""

    target_state: torch.Tensor  # (T, D)
    regulator_state: torch.Tensor  # (R, D)
    expr_states: torch.Tensor  # (S, D)
    gate: torch.Tensor  # (T, R), signed, in [-1, 1]
    keep_mask: torch.Tensor  # (T, R), False where target and regulator are the same gene
    logit_bias: torch.Tensor | None  # (T, R), from a prior network


class RegulatorValues(NamedTuple):
    """What the cells bring: the value of each regulator and the expression state it is in."""

    value: torch.Tensor  # (B, R), standardised
    state: torch.Tensor  # (B, R), int64 in [0, S)

    def hide(self, visible_mask: torch.Tensor, masked_state: int) -> "RegulatorValues":
        """Return the values with value 0 and the masked state wherever ``visible_mask`` ``(B, R)`` is False."""
        return RegulatorValues(self.value * visible_mask, torch.where(visible_mask, self.state, masked_state))


class FusedParts(NamedTuple):
    """The parts of a block's fused attention that are the same for all cells."""

    pair: torch.Tensor  # (H, T, R), exp of the gene-gene logits, 0 on self edges
    gene_query: torch.Tensor  # (H, T, K)
    gene_key: torch.Tensor  # (H, R, K)
    state_key: torch.Tensor  # (H, S, K)
    gain: torch.Tensor  # (H, 1, R), positive


class NetworkMaps(NamedTuple):
    """The maps of one group of cells, each ``(T, R)``."""

    regulation: torch.Tensor  # signed influence
    attention: torch.Tensor  # mean attention
    gate: torch.Tensor  # p(activate) - p(repress)


class ExpressionBlock(nn.Module):
    r"""Gated attention of targets on regulators with a value path that is linear in the regulator's value.

    .. math::
        o_{bjh} = \sum_i A_{bjih} \, M_{ji} \, g_{ih} \, \tilde x_{bi}, \qquad
        A_{bjih} = \mathrm{softmax}_i\left(\frac{(q_{jh} + q^e_{bjh}) \cdot (k_{ih} + k^e_{s(b,i)h})}{\sqrt K}\right)

    with M the signed gate, g > 0 the value gain and s(b, i) the expression state of regulator i in cell b. Keys and
    gains come from one low-rank latent of the regulator.

    Parameters
    ----------
    n_embed
        Embedding width ``D`` of both branches.
    n_heads
        Number of heads ``H``.
    n_head_width
        Width ``K`` of each head's queries and keys.
    n_kv_latent
        Width ``C`` of the latent that gene keys and value gains share.
    """

    def __init__(self, n_embed: int, *, n_heads: int, n_head_width: int, n_kv_latent: int) -> None:
        super().__init__()
        n_key = n_heads * n_head_width
        self.n_heads = n_heads
        self.scale = 1.0 / math.sqrt(n_head_width)
        self.gene_query_proj = nn.Linear(n_embed, n_key)
        self.expr_query_proj = nn.Linear(n_embed, n_key, bias=False)
        self.down_proj = nn.Linear(n_embed, n_kv_latent, bias=False)
        self.gene_key_up_proj = nn.Linear(n_kv_latent, n_key)
        self.expr_key_proj = nn.Linear(n_embed, n_key, bias=False)
        self.value_up_proj = nn.Linear(n_kv_latent, n_heads)
        # Attention and gain start equal for all pairs: what differs between edges has to come from the data.
        for proj in (self.gene_key_up_proj, self.expr_key_proj, self.value_up_proj):
            nn.init.zeros_(proj.weight)
        nn.init.zeros_(self.value_up_proj.bias)

    def fuse(self, genes: GeneContext) -> FusedParts:
        """Return the parts of the attention that are the same for all cells."""
        latent = self.down_proj(genes.regulator_state)  # (R, C)
        query = self._split_heads(self.gene_query_proj(genes.target_state))  # (H, T, K)
        key = self._split_heads(self.gene_key_up_proj(latent))  # (H, R, K)
        logits = self.scale * query @ key.transpose(1, 2)  # (H, T, R)
        if genes.logit_bias is not None:
            logits = logits + genes.logit_bias
        logits = logits.masked_fill(~genes.keep_mask, -1e9)
        pair = exp_below_one(logits, -1) * genes.keep_mask
        value_gain = F.softplus(self.value_up_proj(latent)).T[:, None]  # (H, 1, R)
        gain = math.sqrt(latent.shape[0]) * value_gain  # attention starts at 1 / R
        state_key = self._split_heads(self.expr_key_proj(genes.expr_states))  # (H, S, K)
        return FusedParts(pair, query, key, state_key, gain)

    def fold_query(self, parts: FusedParts, expr_state: torch.Tensor) -> FusedParts:
        """Fold an expression query that all cells and targets share, from a state ``(D,)``, into the static parts."""
        expr_query = self._split_heads(self.expr_query_proj(expr_state)[None])  # (H, 1, K)
        logits = self.scale * expr_query @ parts.gene_key.transpose(1, 2)  # (H, 1, R)
        pair = parts.pair * exp_below_one(logits, -1)
        return parts._replace(pair=pair, gene_query=parts.gene_query + expr_query)

    def forward(self, parts: FusedParts, gate: torch.Tensor, values: RegulatorValues) -> torch.Tensor:
        """Return the head outputs ``(B, T, H)`` where all cells share the queries.

        Parameters
        ----------
        parts
            Output of :meth:`fold_query`.
        gate
            Signed gate, shape ``(T, R)``.
        values
            Values and states of the regulators, each ``(B, R)``.
        """
        factor = self._state_factor(parts)  # (H, T, S)
        one_hot = _one_hot(values.state, factor)  # (R, S, B)
        normaliser = _sum_over_states(parts.pair, one_hot, factor)  # (H, T, B)
        weighted = parts.pair * gate * parts.gain  # (H, T, R)
        total = _sum_over_states(weighted, one_hot * values.value.T[:, None], factor)  # (H, T, B)
        return (total / normaliser.clamp_min(_SMALLEST)).permute(2, 1, 0)  # (B, T, H)

    def mean_attention(
        self, parts: FusedParts, values: RegulatorValues, visible_share: float, cell_weight: torch.Tensor
    ) -> torch.Tensor:
        """Return the attention averaged over cells, shape ``(H, T, R)``, where all cells share the queries.

        It is the attention on a visible regulator when each of the others is visible with probability
        ``visible_share``, as in training. Cells count by ``cell_weight``, shape ``(B, R)``.
        """
        factor = self._state_factor(parts)  # (H, T, S)
        one_hot = _one_hot(values.state, factor)  # (R, S, B)
        seen = _sum_over_states(parts.pair, one_hot, factor)  # (H, T, B)
        hidden = (parts.pair.sum(-1) * factor[..., -1])[..., None]  # (H, T, 1)
        normaliser = (visible_share * seen + (1 - visible_share) * hidden).clamp_min(_SMALLEST)
        weighted = one_hot * cell_weight.T[:, None]  # (R, S, B)
        by_state = ((1.0 / normaliser) @ weighted.flatten(0, 1).T).unflatten(-1, weighted.shape[:2])  # (H, T, R, S)
        return parts.pair * (by_state * factor[:, :, None]).sum(-1) / values.state.shape[0]

    def attention(
        self, parts: FusedParts, expr_state: torch.Tensor, state: torch.Tensor, visible_share: float = 1.0
    ) -> torch.Tensor:
        """Return the attention of every cell, shape ``(B, H, T, R)``, for expression states ``(B, T, D)`` of targets.

        Works for any query, at the cost of one number per cell, target and regulator.
        """
        expr_query = self._split_heads(self.expr_query_proj(expr_state))  # (B, H, T, K)
        query = parts.gene_query + expr_query
        by_state = exp_below_one(self.scale * query @ parts.state_key.transpose(-2, -1), -1)  # (B, H, T, S)
        by_gene = self.scale * expr_query @ parts.gene_key.transpose(-2, -1)  # (B, H, T, R)
        pair = parts.pair * exp_below_one(by_gene, -1)  # (B, H, T, R)
        index = state[:, None, None, :].expand_as(pair)  # (B, H, T, R)
        scores = pair * by_state.gather(-1, index)  # (B, H, T, R)
        hidden = pair.sum(-1, keepdim=True) * by_state[..., -1:]
        normaliser = visible_share * scores.sum(-1, keepdim=True) + (1 - visible_share) * hidden
        return scores / normaliser.clamp_min(_SMALLEST)

    def _state_factor(self, parts: FusedParts) -> torch.Tensor:
        """Return the factor by which each expression state of a regulator scales its attention, ``(H, T, S)``."""
        logits = self.scale * parts.gene_query @ parts.state_key.transpose(1, 2)  # (H, T, S)
        return exp_below_one(logits, -1)

    def _split_heads(self, states: torch.Tensor) -> torch.Tensor:
        return states.unflatten(-1, (self.n_heads, -1)).transpose(-3, -2)  # (..., H, T, K)


def _one_hot(state: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Return where each regulator of states ``(B, R)`` is in which state, shape ``(R, S, B)``, of the type of ``factor``."""
    states = torch.arange(factor.shape[-1], device=state.device)
    return (state.T[:, None] == states[:, None]).to(factor.dtype)


def _sum_over_states(pair: torch.Tensor, by_state: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Return sum over r, s of pair[h, t, r] by_state[r, s, b] factor[h, t, s], shape ``(H, T, B)``."""
    summed = (pair @ by_state.flatten(1)).unflatten(-1, by_state.shape[1:])  # (H, T, S, B)
    return (summed * factor[..., None]).sum(-2)


class StateUpdate(nn.Module):
    r"""Residual, norm and network between blocks: :math:`Y = LN(X + o W_O)`, :math:`Z = LN(Y + FFN(Y))`.

    Parameters
    ----------
    n_embed
        Embedding width ``D``.
    n_heads
        Number of head outputs ``H`` that enter.
    """

    def __init__(self, n_embed: int, *, n_heads: int) -> None:
        super().__init__()
        self.out_proj = nn.Linear(n_heads, n_embed)
        self.attn_norm = nn.LayerNorm(n_embed)
        self.feed_forward = FeedForward(n_embed)
        self.feed_forward_norm = nn.LayerNorm(n_embed)

    def forward(self, state: torch.Tensor, heads: torch.Tensor) -> torch.Tensor:
        """Return the next expression states ``(B, T, D)`` from states ``(B, T, D)`` and head outputs ``(B, T, H)``."""
        state = self.attn_norm(state + self.out_proj(heads))
        return self.feed_forward_norm(state + self.feed_forward(state))


class ExpressionBranch(nn.Module):
    r"""Stack of gated attention blocks in which every target starts from the masked state.

    Each block adds its head outputs to the prediction of the target, and the target's expression state steers the
    attention of the next block. Keys and values are in every block those of the regulators' own values, so a
    target's value cannot reach its prediction.

    Parameters
    ----------
    n_embed
        Embedding width ``D`` of both branches.
    n_heads
        Heads ``H`` of each block.
    n_head_width
        Width ``K`` of each head's queries and keys.
    n_kv_latent
        Width ``C`` of the latent that keys and values share.
    n_layers
        Number of blocks.
    """

    def __init__(self, n_embed: int, *, n_heads: int, n_head_width: int, n_kv_latent: int, n_layers: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            ExpressionBlock(n_embed, n_heads=n_heads, n_head_width=n_head_width, n_kv_latent=n_kv_latent)
            for _ in range(n_layers)
        )
        self.updates = nn.ModuleList(StateUpdate(n_embed, n_heads=n_heads) for _ in range(n_layers - 1))

    def forward(self, genes: GeneContext, values: RegulatorValues) -> torch.Tensor:
        """Return what the regulators contribute to each standardised target, shape ``(B, T)``.

        Parameters
        ----------
        genes
            Gene states, gate and masks.
        values
            Values and states of all regulators, each ``(B, R)``; hidden ones have value 0 and the masked state.
        """
        first, masked = self.blocks[0], genes.expr_states[-1]
        heads = first(first.fold_query(first.fuse(genes), masked), genes.gate, values)  # (B, T, H)
        contribution = heads.sum(-1)  # (B, T)
        target_state = masked.expand(*contribution.shape, -1)  # (B, T, D)
        for block, update in zip(self.blocks[1:], self.updates, strict=True):
            target_state, parts = update(target_state, heads), block.fuse(genes)
            attn = block.attention(parts, target_state, values.state)  # (B, H, T, R)
            heads = torch.einsum("bhtr,htr,br->bth", attn, parts.gain * genes.gate, values.value)
            contribution = contribution + heads.sum(-1)
        return contribution

    def initial_gain(self, genes: GeneContext) -> torch.Tensor:
        """Return the influence per unit of gate, ``(T, R)``, while expression states do not steer the attention yet."""
        gain = torch.zeros_like(genes.gate)
        for block in self.blocks:
            parts = block.fuse(genes)
            attn = parts.pair / parts.pair.sum(-1, keepdim=True).clamp_min(_SMALLEST)  # (H, T, R)
            gain = gain + (attn * parts.gain).sum(0)
        return gain

    @torch.no_grad()
    def scale_gain(self, factor: float) -> None:
        """Multiply the value gain by ``factor``, while it is the same for all regulators."""
        for block in self.blocks:
            bias = block.get_parameter("value_up_proj.bias")
            gain = factor * F.softplus(bias)
            bias.copy_(gain + (-(-gain).expm1()).log())  # the inverse of softplus

    def maps(self, genes: GeneContext, values: RegulatorValues, visible_share: float) -> NetworkMaps:
        r"""Return the maps of a group of cells.

        The signed influence is the slope of a regulator's message on its standardised value x,

        .. math:: I_{ji} = \mathrm{mean}_b \left[ \tilde x_{bi}^2 \sum_{lh} A_{bjih} \right] M_{ji} g_{ih},

        because the mean of x is 0 and that of its square 1. Cells in which the regulator differs from its mean
        decide; a mean over cells alike would be that of the many cells in which it is silent.

        Parameters
        ----------
        genes
            Gene states, gate and masks.
        values
            Values and states of all regulators, each ``(B, R)``.
        visible_share
            Share of the regulators that training shows to a target at a time.
        """
        first, masked = self.blocks[0], genes.expr_states[-1]
        parts = first.fold_query(first.fuse(genes), masked)
        square, one = values.value.square(), torch.ones_like(values.value)  # (B, R)
        slope = first.mean_attention(parts, values, visible_share, square)  # (H, T, R)
        strength = (slope * parts.gain).sum(0)
        attention = first.mean_attention(parts, values, visible_share, one).mean(0)
        if self.updates:
            target_state = masked.expand(len(values.value), len(genes.gate), -1)  # (B, T, D)
            attn = first.attention(first.fuse(genes), target_state, values.state, visible_share)
        for block, update in zip(self.blocks[1:], self.updates, strict=True):
            heads = torch.einsum("bhtr,htr,br->bth", attn, parts.gain * genes.gate, values.value)
            target_state, parts = update(target_state, visible_share * heads), block.fuse(genes)
            attn = block.attention(parts, target_state, values.state, visible_share)  # (B, H, T, R)
            slope = (attn * square[:, None, None]).mean(0)  # (H, T, R)
            strength, attention = strength + (slope * parts.gain).sum(0), attention + attn.mean((0, 1))
        return NetworkMaps(strength * genes.gate, attention / len(self.blocks), genes.gate)
