"""Pool the expressed genes of a cell into a posterior over its latent state.

Dimension key
    B  cells       G  genes        N  expression states of an expressed gene: its bins
    P  pooling latents             W  width of a pooling latent      D  embedding width
    S  all expression states: zero, N bins, masked                   Z  latent dimensions
"""

import math

import torch
from torch import nn
from torch.distributions import Normal

from scdual.nn._attention import FeedForward, MultiHeadLatentAttention, TransformerBlock


class LatentPooling(nn.Module):
    r"""Latent queries that attend to the expressed genes of a cell and mix in a small transformer block.

    .. math::
        a_{pg} = \mathrm{softmax}_g\left(\frac{q_p \cdot (k_g + k_{s(x_g)})}{\sqrt{D}}\right), \qquad
        u_p = \sum_g a_{pg} \left(\frac{\tilde x_g}{\sqrt{\mathrm{sd}_g}} V_g + w_{s(x_g)}\right)

    The sums run over expressed genes. The covariates of the cell shift the normalised sums before the block. Keys and
    values are those of genes plus those of expression states, so the sums of all cells are one matrix product per
    state, and no tensor holds a vector per token.

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

    def forward(
        self,
        value: torch.Tensor,
        state: torch.Tensor,
        shift: torch.Tensor,
        gene_emb: torch.Tensor,
        expr_states: torch.Tensor,
    ) -> torch.Tensor:
        """Return the pooled latents, shape ``(B, P, W)``.

        Parameters
        ----------
        value
            Log values over the square root of each gene's standard deviation, shape ``(B, G)``.
        state
            Expression states, shape ``(B, G)``; zero where a gene is not expressed.
        shift
            What the covariates of the cell add, shape ``(B, P * W)``.
        gene_emb
            Embeddings of the genes, shape ``(G, D)``.
        expr_states
            Embeddings of the expression states, shape ``(S, D)``.
        """
        expr_states = expr_states[1:-1]  # (N, D), of expressed genes
        scale = 1.0 / math.sqrt(self.query.shape[1])
        gene_weight = _exp(scale * self.gene_key_proj(gene_emb) @ self.query.T)  # (G, P)
        state_weight = _exp(scale * self.state_key_proj(expr_states) @ self.query.T)  # (N, P)
        weighted_value = gene_weight[:, :, None] * self.gene_value[:, None]  # (G, P, W)

        states = torch.arange(1, len(expr_states) + 1, device=state.device)
        is_state = (self._hide_tokens(state)[:, None] == states[:, None]).to(value.dtype)  # (B, N, G)
        mass = is_state @ gene_weight * state_weight  # (B, N, P)
        by_gene = ((is_state * value[:, None]) @ weighted_value.flatten(1)).unflatten(-1, weighted_value.shape[1:])
        pooled = torch.einsum("bnpw,np->bpw", by_gene, state_weight)
        pooled = pooled + torch.einsum("bnp,nw->bpw", mass, self.state_value_proj(expr_states))
        pooled = pooled / mass.sum(1).clamp_min(1e-20)[..., None]
        return self.block(self.norm(pooled) + shift.unflatten(-1, pooled.shape[1:]))

    def _hide_tokens(self, state: torch.Tensor) -> torch.Tensor:
        if not self.training or self.dropout_rate == 0:
            return state
        return state * (torch.rand(state.shape, device=state.device) >= self.dropout_rate)


def _exp(logits: torch.Tensor) -> torch.Tensor:
    """Return exponentials up to a factor per column, which cancels in a softmax; none overflows."""
    return (logits - logits.amax(0)).exp()


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
