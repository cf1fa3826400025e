"""Update what a gene is by attending to the genes that may regulate it.

Dimension key
    G  genes      R  regulators      D  embedding width
"""

from typing import Any

import torch
from torch import nn

from scdual.nn._attention import FeedForward, MultiHeadLatentAttention, TransformerBlock
from scdual.nn._embedding import GeneEmbedding


class GeneBranch(nn.Module):
    r"""Transformer over gene identities in which only regulators are keys.

    .. math:: H_{gene}^{(l+1)} = \mathrm{Block}\left(H_{gene}^{(l)}, H_{gene}^{(l)}[\mathrm{regulators}]\right)

    It sees no cell, so one pass serves a whole minibatch, and one pass serves all of inference.

    Parameters
    ----------
    n_embed
        Embedding width ``D``.
    n_heads
        Attention heads of each block.
    n_kv_latent
        Width of the latent that keys and values share.
    n_layers
        Number of blocks.
    dropout_rate
        Dropout of the position-wise networks while training.
    """

    def __init__(
        self, n_embed: int, *, n_heads: int, n_kv_latent: int, n_layers: int, dropout_rate: float = 0.0
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            TransformerBlock(
                MultiHeadLatentAttention(n_embed, n_heads, n_kv_latent=n_kv_latent),
                FeedForward(n_embed, dropout_rate=dropout_rate),
                n_embed=n_embed,
            )
            for _ in range(n_layers)
        )
        self._kept: torch.Tensor | None = None
        self.register_load_state_dict_post_hook(_forget_states)

    def forward(self, gene_emb: torch.Tensor, regulator_index: torch.Tensor) -> torch.Tensor:
        """Return gene states ``(G, D)`` from gene embeddings ``(G, D)`` and regulator positions ``(R,)``."""
        states = gene_emb
        for block in self.blocks:
            states = block(states, states[regulator_index])  # (G, D)
        return states

    def states(self, gene_embedding: GeneEmbedding, regulator_index: torch.Tensor) -> torch.Tensor:
        """Return the gene states ``(G, D)``; at inference they are computed once and kept until weights may change."""
        if self.training or not torch.is_inference_mode_enabled():
            return self(gene_embedding(), regulator_index)
        if self._kept is None:
            self._kept = self(gene_embedding(), regulator_index)
        return self._kept

    def train(self, mode: bool = True) -> "GeneBranch":
        """Switch between training and evaluation, as in torch."""
        self._forget()
        return super().train(mode)

    def _apply(self, *args: Any, **kwargs: Any) -> "GeneBranch":
        self._forget()
        return super()._apply(*args, **kwargs)

    def _forget(self) -> None:
        self._kept = None


def _forget_states(branch: GeneBranch, _: Any) -> None:
    branch._forget()
