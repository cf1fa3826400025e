"""Multi-head latent attention and the standard transformer block.

Inside tensors row = query (target), column = key (regulator).

Dimension key
    ...  any leading dimensions     T  queries      R  keys
    D  embedding width              H  heads        K  head width, D / H
    C  width of the latent shared by keys and values
"""

import math

import torch
import torch.nn.functional as F
from torch import nn


class MultiHeadLatentAttention(nn.Module):
    r"""Multi-head attention whose keys and values are read from one low-rank latent.

    .. math::
        c = H W_{down}, \quad K = c W_{upK}, \quad V = c W_{upV}, \quad
        \mathrm{out} = \mathrm{concat}_h\left[\mathrm{softmax}(Q_h K_h^T / \sqrt{K}) V_h\right] W_O

    With ``n_kv_latent`` equal to ``n_embed`` it can express any multi-head attention :cite:p:`Vaswani17`;
    the shared latent is that of DeepSeek-V2 :cite:p:`DeepSeek24`.

    Parameters
    ----------
    n_embed
        Embedding width ``D``, a multiple of ``n_heads``.
    n_heads
        Number of heads ``H``.
    n_kv_latent
        Width ``C`` of the latent that keys and values share.

    Raises
    ------
    ValueError
        If ``n_embed`` is not a multiple of ``n_heads``.
    """

    def __init__(self, n_embed: int, n_heads: int, *, n_kv_latent: int) -> None:
        super().__init__()
        if n_embed % n_heads:
            msg = f"n_embed is {n_embed}, which {n_heads} heads cannot share; choose a multiple of n_heads."
            raise ValueError(msg)
        self.n_heads = n_heads
        self.query_proj = nn.Linear(n_embed, n_embed)
        self.down_proj = nn.Linear(n_embed, n_kv_latent, bias=False)
        self.key_up_proj = nn.Linear(n_kv_latent, n_embed)
        self.value_up_proj = nn.Linear(n_kv_latent, n_embed)
        self.out_proj = nn.Linear(n_embed, n_embed)

    def forward(self, query: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        """Return the attended values, shape ``(..., T, D)``.

        Parameters
        ----------
        query
            States that ask, shape ``(..., T, D)``.
        memory
            States that are read, shape ``(..., R, D)``.
        """
        latent = self.down_proj(memory)  # (..., R, C)
        queries = self._split_heads(self.query_proj(query))  # (..., H, T, K)
        keys = self._split_heads(self.key_up_proj(latent))  # (..., H, R, K)
        values = self._split_heads(self.value_up_proj(latent))  # (..., H, R, K)
        mixed = F.scaled_dot_product_attention(queries, keys, values)  # (..., H, T, K)
        return self.out_proj(mixed.transpose(-3, -2).flatten(-2))  # (..., T, D)

    def attention(self, query: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        """Return the attention weights of each head, shape ``(..., H, T, R)``; each row sums to 1."""
        queries = self._split_heads(self.query_proj(query))  # (..., H, T, K)
        keys = self._split_heads(self.key_up_proj(self.down_proj(memory)))  # (..., H, R, K)
        logits = queries @ keys.transpose(-2, -1) / math.sqrt(queries.shape[-1])  # (..., H, T, R)
        return logits.softmax(-1)

    def _split_heads(self, states: torch.Tensor) -> torch.Tensor:
        return states.unflatten(-1, (self.n_heads, -1)).transpose(-3, -2)  # (..., H, T, K)


class Dropout(nn.Dropout):
    """Dropout as in torch, with a mask of uniform numbers, which a processor draws in a third of the time."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return the units that are left, over the share of them; rates are below 1."""
        if not self.training or self.p == 0:
            return input
        is_left = torch.rand(input.shape, device=input.device) >= self.p
        return input * (is_left / (1 - self.p))


class FeedForward(nn.Sequential):
    r"""The position-wise network :math:`\mathrm{GELU}(Y W_1 + b_1) W_2 + b_2` with hidden width 4 D.

    Parameters
    ----------
    n_embed
        Embedding width ``D``.
    dropout_rate
        Probability of dropping a hidden unit while training.
    """

    def __init__(self, n_embed: int, *, dropout_rate: float = 0.0) -> None:
        super().__init__(
            nn.Linear(n_embed, 4 * n_embed), nn.GELU(), Dropout(dropout_rate), nn.Linear(4 * n_embed, n_embed)
        )


class TransformerBlock(nn.Module):
    r"""The standard post-norm transformer block.

    .. math:: Y = \mathrm{LN}(X + \mathrm{MHLA}(X)), \qquad Z = \mathrm{LN}(Y + \mathrm{FFN}(Y))

    Parameters
    ----------
    attn
        The attention of the block.
    feed_forward
        The position-wise network of the block.
    n_embed
        Embedding width ``D``.
    """

    def __init__(self, attn: MultiHeadLatentAttention, feed_forward: nn.Module, *, n_embed: int) -> None:
        super().__init__()
        self.attn = attn
        self.attn_norm = nn.LayerNorm(n_embed)
        self.feed_forward = feed_forward
        self.feed_forward_norm = nn.LayerNorm(n_embed)

    def forward(self, states: torch.Tensor, memory: torch.Tensor | None = None) -> torch.Tensor:
        """Return the new states ``(..., T, D)``; they attend to ``memory`` ``(..., R, D)``, or else to themselves."""
        attended = self.attn(states, states if memory is None else memory)  # (..., T, D)
        states = self.attn_norm(states + attended)
        return self.feed_forward_norm(states + self.feed_forward(states))


def exp_below_one(logits: torch.Tensor, dim: int) -> torch.Tensor:
    """Return exponentials over the largest along ``dim``; in a softmax it cancels, so no gradient flows through it."""
    return (logits - logits.detach().amax(dim, keepdim=True)).exp()
