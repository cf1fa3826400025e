"""Pool the expressed genes of a cell into a posterior over its latent state.

Dimension key
    B  cells       G  genes        M  tokens: the expressed genes of all cells
    N  bins of the value of an expressed gene         S  all expression states: zero, N bins, masked
    P  pooling latents             W  width of a pooling latent      D  embedding width      Z  latent dimensions
"""

import math
from typing import NamedTuple

import torch
from torch import nn
from torch.distributions import Normal

from scdual.nn._attention import FeedForward, MultiHeadLatentAttention, TransformerBlock, exp_below_one
from scdual.nn._positions import positions
from scdual.nn._sparse_product import Places, sparse_product


class Tokens(NamedTuple):
    """The expressed genes of some cells, each ``(M,)``; those of a cell in any order."""

    cell: torch.Tensor  # position in the minibatch
    gene: torch.Tensor
    value: torch.Tensor  # log value over the square root of the gene's standard deviation
    bin: torch.Tensor  # of the value, in [0, N)


class LatentPooling(nn.Module):
    r"""Latent queries that attend to the expressed genes of a cell and mix in a small transformer block.

    .. math::
        a_{pg} = \mathrm{softmax}_g\left(\frac{q_p \cdot (k_g + k_{s(x_g)})}{\sqrt{D}}\right), \qquad
        u_p = \sum_g a_{pg} \left(\frac{\tilde x_g}{\sqrt{\mathrm{sd}_g}} V_g + w_{s(x_g)}\right)

    The sums run over expressed genes. The covariates of the cell shift the normalised sums before the block. Keys and
    values are those of genes plus those of expression states, so the sums of all cells are one product of a sparse matrix,
    with a row for each cell and state, and no tensor holds a vector per token.

    Parameters
    ----------
    n_genes
        Number of genes ``G``.
    n_embed
        Width ``D`` of gene and expression embeddings.
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
        self.dropout_rate, self.n_pool = dropout_rate, n_pool
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

    def forward(
        self, tokens: Tokens, shift: torch.Tensor, gene_emb: torch.Tensor, expr_states: torch.Tensor
    ) -> torch.Tensor:
        """Return the pooled latents, shape ``(B, P, W)``.

        Parameters
        ----------
        tokens
            The expressed genes of the cells.
        shift
            What the covariates of each cell add, shape ``(B, P * W)``.
        gene_emb
            Embeddings of the genes, shape ``(G, D)``.
        expr_states
            Embeddings of the expression states, shape ``(S, D)``.
        """
        expr_states, n_cells = expr_states[1:-1], len(shift)  # (N, D), of expressed genes
        scale = 1.0 / math.sqrt(self.query.shape[1])
        gene_weight = exp_below_one(scale * self.gene_key_proj(gene_emb) @ self.query.T, 0)  # (G, P)
        state_weight = exp_below_one(scale * self.state_key_proj(expr_states) @ self.query.T, 0)  # (N, P)
        weighted_value = gene_weight[:, :, None] * self.gene_value[:, None]  # (G, P, W)

        tokens = self._hide(tokens)
        row = tokens.cell * len(expr_states) + tokens.bin
        places = Places(row, tokens.gene, n_rows=n_cells * len(expr_states), n_columns=len(gene_emb))
        mass = sparse_product(places, torch.ones_like(tokens.value), gene_weight)  # (B * N, P)
        by_state = sparse_product(places, tokens.value, weighted_value.flatten(1))  # (B * N, P * W)
        mass = mass.view(n_cells, -1, self.n_pool) * state_weight  # (B, N, P)
        by_state = by_state.view(*mass.shape, -1)  # (B, N, P, W)
        pooled = (by_state * state_weight[..., None]).sum(1) + mass.transpose(1, 2) @ self.state_value_proj(expr_states)
        pooled = pooled / mass.sum(1).clamp_min(1e-20)[..., None]
        return self.block(self.norm(pooled) + shift.view_as(pooled))

    def _hide(self, tokens: Tokens) -> Tokens:
        if not self.training or self.dropout_rate == 0:
            return tokens
        is_seen = torch.rand(tokens.value.shape, device=tokens.value.device) >= self.dropout_rate
        seen = positions(is_seen)
        return Tokens(*(each.index_select(0, seen) for each in tokens))


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
        """Return the posterior, batch shape ``(B, Z)``, in full precision, from pooled latents ``(B, P, W)``."""
        flat = pooled.flatten(1)
        var = self.log_var_proj(flat).float().clamp(-20, 8).exp() + self.min_var
        return Normal(self.mean_proj(flat).float(), var.sqrt())
