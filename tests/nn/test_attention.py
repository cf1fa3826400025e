"""Latent attention and the transformer block equal torch's own with copied weights."""

import pytest
import torch
from torch import nn

from scdual.nn import FeedForward, MultiHeadLatentAttention, TransformerBlock

D, H, C, T, R = 8, 2, 3, 5, 4
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
LEADING = [(), (3,), (2, 3)]


def full_rank_attention() -> MultiHeadLatentAttention:
    """Return an attention whose latent is the memory itself."""
    attn = MultiHeadLatentAttention(D, H, n_kv_latent=D)
    nn.init.eye_(attn.down_proj.weight)
    return attn


@torch.no_grad()
def copy_attention(ours: MultiHeadLatentAttention, theirs: nn.MultiheadAttention) -> None:
    parts = [ours.query_proj, ours.key_up_proj, ours.value_up_proj]
    theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
    theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
    theirs.out_proj.load_state_dict(ours.out_proj.state_dict())


@pytest.fixture
def full_rank() -> MultiHeadLatentAttention:
    return full_rank_attention()


@pytest.fixture
def torch_attention(full_rank: MultiHeadLatentAttention) -> nn.MultiheadAttention:
    theirs = nn.MultiheadAttention(D, H, batch_first=True)
    copy_attention(full_rank, theirs)
    return theirs


@pytest.mark.parametrize("leading", LEADING[:2])
def test_full_rank_latent_attention_is_multi_head_attention(
    full_rank: MultiHeadLatentAttention, torch_attention: nn.MultiheadAttention, leading: tuple[int]
) -> None:
    query, memory = torch.randn(*leading, T, D), torch.randn(*leading, R, D)
    out, attn = torch_attention(query, memory, memory, average_attn_weights=False)
    torch.testing.assert_close(full_rank(query, memory), out, **CLOSE)
    torch.testing.assert_close(full_rank.attention(query, memory), attn, **CLOSE)


@pytest.mark.parametrize("leading", LEADING)
def test_attention_rows_sum_to_one(leading: tuple[int]) -> None:
    attn = MultiHeadLatentAttention(D, H, n_kv_latent=C)
    weights = attn.attention(torch.randn(*leading, T, D), torch.randn(*leading, R, D))
    assert weights.shape == (*leading, H, T, R)
    torch.testing.assert_close(weights.sum(-1), torch.ones(*leading, H, T))


def test_keys_and_values_share_one_latent_of_low_rank() -> None:
    attn = MultiHeadLatentAttention(D, H, n_kv_latent=C)
    memory = torch.randn(20, D)
    latent = attn.down_proj(memory)
    keys, values = latent @ attn.key_up_proj.weight.T, latent @ attn.value_up_proj.weight.T
    assert torch.linalg.matrix_rank(torch.cat([keys, values], dim=1)) == C


def test_what_the_latent_does_not_hold_is_not_read() -> None:
    attn = MultiHeadLatentAttention(D, H, n_kv_latent=C)
    query, memory = torch.randn(T, D), torch.randn(R, D)
    null_space = torch.linalg.svd(attn.down_proj.weight)[2][C:]  # (D - C, D)
    moved = memory + torch.randn(R, D - C) @ null_space
    torch.testing.assert_close(attn(query, moved), attn(query, memory), **CLOSE)
    assert not torch.allclose(attn(query, memory + torch.randn(R, D)), attn(query, memory), **CLOSE)


def test_width_that_heads_cannot_share_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of n_heads"):
        MultiHeadLatentAttention(7, 2, n_kv_latent=3)


def test_feed_forward_drops_units_only_while_training() -> None:
    feed_forward, states = FeedForward(D, dropout_rate=0.5), torch.randn(T, D)
    assert feed_forward[0].out_features == 4 * D
    assert not torch.allclose(feed_forward(states), feed_forward(states))
    feed_forward.eval()
    torch.testing.assert_close(feed_forward(states), feed_forward[3](nn.functional.gelu(feed_forward[0](states))))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropped_units_are_zero_and_the_mean_stays(rate: float) -> None:
    dropout = FeedForward(D, dropout_rate=rate)[2]
    left = dropout(torch.ones(200, 500))
    torch.testing.assert_close(left.unique(), torch.tensor([0.0, 1 / (1 - rate)]))
    assert abs(left.mean() - 1) < 5 * (rate / (1 - rate) / left.numel()) ** 0.5  # five standard errors


@pytest.fixture
def block() -> TransformerBlock:
    block = TransformerBlock(full_rank_attention(), FeedForward(D), n_embed=D)
    for norm in (block.attn_norm, block.feed_forward_norm):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    return block


def test_block_is_the_standard_encoder_layer(block: TransformerBlock) -> None:
    layer = nn.TransformerEncoderLayer(
        D, H, dim_feedforward=4 * D, dropout=0, activation="gelu", norm_first=False, batch_first=True
    )
    copy_attention(block.attn, layer.self_attn)
    layer.linear1.load_state_dict(block.feed_forward[0].state_dict())
    layer.linear2.load_state_dict(block.feed_forward[3].state_dict())
    layer.norm1.load_state_dict(block.attn_norm.state_dict())
    layer.norm2.load_state_dict(block.feed_forward_norm.state_dict())
    states = torch.randn(3, T, D)
    torch.testing.assert_close(block(states), layer(states), **CLOSE)


def test_block_attends_to_the_memory_it_is_given(block: TransformerBlock) -> None:
    states, memory = torch.randn(3, T, D), torch.randn(3, R, D)
    middle = block.attn_norm(states + block.attn(states, memory))
    expected = block.feed_forward_norm(middle + block.feed_forward(middle))
    torch.testing.assert_close(block(states, memory), expected)
    torch.testing.assert_close(block(states), block(states, states))
