"""Pool the expressed genes of a cell into a posterior over its latent state.

Dimension key
    B  cells       G  genes      N  tokens of a cell: its expressed genes, padded to the cell with most of them
    P  pooling latents           W  width of a pooling latent      D  embedding width
    S  expression states         Z  latent dimensions
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Normal

from scdual.nn._attention import FeedForward, MultiHeadLatentAttention, TransformerBlock


class CellTokens(NamedTuple):
    """The expressed genes of each cell, padded; where ``keep_mask`` is False there is no token."""

    gene: torch.Tensor  # (B, N), int64
    state: torch.Tensor  # (B, N), int64
    value: torch.Tensor  # (B, N), log value over the gene's standard deviation
    keep_mask: torch.Tensor  # (B, N)


def expressed_tokens(scaled_expr: torch.Tensor, state: torch.Tensor) -> CellTokens:
    """Return the non-zero entries of each cell as padded tokens.

    Parameters
    ----------
    scaled_expr
        Log values over each gene's standard deviation, shape ``(B, G)``; zero where a gene is not expressed.
    state
        Expression states, shape ``(B, G)``; zero where a gene is not expressed.
    """
    expressed = state > 0  # (B, G)
    n_tokens = expressed.sum(1)  # (B,)
    cell, gene = expressed.nonzero(as_tuple=True)
    slot = torch.arange(len(cell), device=cell.device) - (n_tokens.cumsum(0) - n_tokens)[cell]
    keep_mask = torch.arange(int(n_tokens.max()), device=cell.device) < n_tokens[:, None]  # (B, N)
    padded = torch.zeros_like(keep_mask, dtype=torch.int64).index_put((cell, slot), gene)
    return CellTokens(padded, state.gather(1, padded), scaled_expr.gather(1, padded), keep_mask)


class LatentPooling(nn.Module):
    r"""Latent queries that attend to the expressed genes of a cell and mix in a small transformer block.

    .. math::
        a_{pg} = \mathrm{softmax}_g\left(\frac{q_p \cdot (k_g + k_{s(x_g)})}{\sqrt{D}}\right), \qquad
        u_p = \sum_g a_{pg} \left(\frac{\tilde x_g}{\mathrm{sd}_g} V_g + w_{s(x_g)}\right)

    The sums run over expressed genes. Keys and values are looked up in tables of genes and of expression states, so
    no projection is computed per token.

    Parameters
    ----------
    n_genes
        Number of genes ``G``.
    n_embed
        Width ``D`` of gene states and expression embeddings.
    n_pool
        Number of pooling latents ``P``.
    n_width
        Width ``W`` of each pooling latent.
    n_heads
        Heads of the latent transformer block.
    dropout_rate
        Share of a cell's tokens that is hidden while training, and dropout of the latent block.
    """

    def __init__(
        self, n_genes: int, *, n_embed: int, n_pool: int, n_width: int, n_heads: int, dropout_rate: float
    ) -> None:
        super().__init__()
        self.dropout_rate = dropout_rate
        self.query = nn.Parameter(torch.randn(n_pool, n_embed))
        self.gene_key_proj = nn.Linear(n_embed, n_embed, bias=False)
        self.state_key_proj = nn.Linear(n_embed, n_embed, bias=False)
        self.gene_value = nn.Parameter(torch.randn(n_genes, n_width))
        self.state_value_proj = nn.Linear(n_embed, n_width)
        self.norm = nn.LayerNorm(n_width)
        self.block = TransformerBlock(
            MultiHeadLatentAttention(n_width, n_heads, n_kv_latent=n_width),
            FeedForward(n_width, dropout_rate=dropout_rate),
            n_embed=n_width,
        )

    def forward(self, tokens: CellTokens, gene_state: torch.Tensor, expr_states: torch.Tensor) -> torch.Tensor:
        """Return the pooled latents ``(B, P, W)`` from tokens, gene states ``(G, D)`` and expression states ``(S, D)``."""
        n_pool, scale = len(self.query), 1.0 / math.sqrt(self.query.shape[1])
        gene_logits = scale * self.gene_key_proj(gene_state) @ self.query.T  # (G, P)
        state_logits = scale * self.state_key_proj(expr_states) @ self.query.T  # (S, P)
        gene_table = torch.cat([gene_logits, self.gene_value], dim=1)  # (G, P + W)
        state_table = torch.cat([state_logits, self.state_value_proj(expr_states)], dim=1)  # (S, P + W)
        of_gene = F.embedding(tokens.gene, gene_table)  # (B, N, P + W)
        of_state = F.one_hot(tokens.state, len(state_table)).to(state_table.dtype) @ state_table
        keep_mask = self._hide_tokens(tokens.keep_mask)[..., None]  # (B, N, 1)
        logits = of_gene[..., :n_pool] + of_state[..., :n_pool]  # (B, N, P)
        attn = logits.masked_fill(~keep_mask, -1e9).softmax(1) * keep_mask
        values = tokens.value[..., None] * of_gene[..., n_pool:] + of_state[..., n_pool:]  # (B, N, W)
        return self.block(self.norm(attn.transpose(1, 2) @ values))  # (B, P, W)

    def _hide_tokens(self, keep_mask: torch.Tensor) -> torch.Tensor:
        if not self.training or self.dropout_rate == 0:
            return keep_mask
        return keep_mask & (torch.rand(keep_mask.shape, device=keep_mask.device) >= self.dropout_rate)


class PosteriorHead(nn.Module):
    r"""Read the approximate posterior :math:`q(z \mid x) = \mathcal{N}(\mu, \mathrm{diag}\,\sigma^2)` off pooled latents.

    Parameters
    ----------
    n_in
        Width of the flattened pooled latents, ``P * W``.
    n_latent
        Number of latent dimensions ``Z``.
    """

    min_var = 1e-4

    def __init__(self, n_in: int, n_latent: int) -> None:
        super().__init__()
        self.mean_proj = nn.Linear(n_in, n_latent)
        self.log_var_proj = nn.Linear(n_in, n_latent)

    def forward(self, pooled: torch.Tensor) -> Normal:
        """Return the posterior, batch shape ``(B, Z)``, from pooled latents ``(B, P, W)``."""
        flat = pooled.flatten(1)
        var = self.log_var_proj(flat).clamp(-20, 8).exp() + self.min_var
        return Normal(self.mean_proj(flat), var.sqrt())
