"""From the counts of a cell to its latent state and back.

Dimension key
    B  cells      G  genes      D  embedding width      S  expression states      Z  latent dimensions
    U  covariates, the batch first: one-hot or as a learnt vector
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.distributions import Distribution, Normal

from scdual._types import GeneLikelihood
from scdual.module.map import MapCells
from scdual.nn import CountDecoder, CovariateEffects, LatentPooling, LatentPrior, PosteriorHead, Tokens

_N_LIKE_MEAN = 20  # cells like the mean of all in each batch; not measured


class Regularisation(NamedTuple):
    """How much of the regularisation for many genes a cell state bears, each at most 1."""

    kl: float  # weight of the KL divergence
    hidden: float  # share of the genes that is hidden


def regularisation(n_genes: int, *, has_batches: bool) -> Regularisation:
    """Return how much of the regularisation for many genes a cell state bears.

    The likelihood sums over genes while the KL divergence does not, so of few genes a full weight of the latter leaves less
    :cite:p:`Higgins17`; and of few genes fewer can be hidden.

    Parameters
    ----------
    n_genes
        Number of genes.
    has_batches
        Whether batches or other covariates have to be kept out of the state. Regularisation does that, so both shares
        are the number of genes over 1,000, and not below 0.4. Else the weight is the number over 1,500 to the power of
        1.5, not below 0.2, and what is hidden the same number to the power of 4, not below 0.1.
    """
    if has_batches:
        kl = hidden = max(0.4, n_genes / 1_000)
    else:
        kl, hidden = max(0.2, (n_genes / 1_500) ** 1.5), max(0.1, (n_genes / 1_500) ** 4)
    return Regularisation(min(1.0, kl), min(1.0, hidden))


@torch.no_grad()
def mean_shares(batches: Iterable[MapCells], *, n_batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean share of each gene in the molecules of a cell, ``(G,)``, and that in each batch, ``(n_batch, G)``.

    Parameters
    ----------
    batches
        Minibatches of the cells; they are read once. Over all cells one more counts in which all genes are alike, and
        in each batch 20 more that are like the mean of all, so no share is 0 and small batches are near the mean.
    n_batch
        Number of batches, the first columns of the covariates.
    """
    total = count = torch.zeros(1, 1, dtype=torch.float64)
    for cells in batches:
        batch = cells.covariates[:, :n_batch].double()
        share = cells.counts.double() / cells.counts.sum(1, keepdim=True).clamp_min(1)
        total, count = total.to(share.device) + batch.T @ share, count.to(share.device) + batch.sum(0)[:, None]
    share = (total.sum(0) + 1 / total.shape[1]) / (count.sum() + 1)
    return share, (total + _N_LIKE_MEAN * share) / (count + _N_LIKE_MEAN)


class CellState(nn.Module):
    """Variational encoder and decoder of the counts, both told the covariates so that the latent state need not know.

    Parameters
    ----------
    n_genes
        Number of genes ``G``.
    n_categories
        Columns of each categorical covariate, the batch first.
    n_continuous
        Number of continuous covariates.
    n_embed, n_heads, n_pool
        Those of :class:`~scdual.nn.LatentPooling`.
    dropout_rate
        That of :class:`~scdual.nn.LatentPooling`; None is 0.5 times the share that :func:`regularisation` hides.
    n_latent
        Number of latent dimensions ``Z``.
    n_latent_components
        Number of components of :class:`~scdual.nn.LatentPrior`.
    n_hidden, n_dispersions, gene_likelihood
        Those of :class:`~scdual.nn.CountDecoder`.
    """

    axes: torch.Tensor

    def __init__(  # noqa: PLR0913 - the sizes of all its parts
        self,
        n_genes: int,
        *,
        n_categories: Sequence[int],
        n_continuous: int,
        n_embed: int,
        n_heads: int,
        n_pool: int,
        dropout_rate: float | None,
        n_latent: int,
        n_latent_components: int,
        n_hidden: int,
        n_dispersions: int | None,
        gene_likelihood: GeneLikelihood,
    ) -> None:
        super().__init__()
        n_width = n_embed // 2
        covariate_sizes: dict[str, Any] = {"n_categories": n_categories, "n_continuous": n_continuous}
        has_batches = max(n_categories) > 1 or n_continuous > 0
        self.regularisation = regularisation(n_genes, has_batches=has_batches)
        if dropout_rate is None:
            dropout_rate = 0.5 * self.regularisation.hidden
        self.pooling = LatentPooling(
            n_genes, n_embed=n_embed, n_pool=n_pool, n_width=n_width, n_heads=n_heads, dropout_rate=dropout_rate
        )
        self.pooling_effects = CovariateEffects(n_pool * n_width, **covariate_sizes)
        self.posterior = PosteriorHead(n_pool * n_width, n_latent)
        self.prior = LatentPrior(n_latent, n_latent_components)
        self.decoder = CountDecoder(
            CovariateEffects(n_hidden, **covariate_sizes),
            CovariateEffects(n_genes, **covariate_sizes),
            n_latent=n_latent,
            n_genes=n_genes,
            n_hidden=n_hidden,
            n_dispersions=n_dispersions,
            gene_likelihood=gene_likelihood,
        )
        self.register_buffer("axes", torch.eye(n_latent))  # of the embedding, from latent states by `z @ axes`

    def encode(
        self, tokens: Tokens, covariates: torch.Tensor, *, gene_emb: torch.Tensor, expr_states: torch.Tensor
    ) -> Normal:
        """Return the posterior, batch shape ``(B, Z)``.

        Parameters
        ----------
        tokens
            The expressed genes of the cells.
        covariates
            Covariates, shape ``(B, U)``.
        gene_emb, expr_states
            Embeddings of genes ``(G, D)`` and of expression states ``(S, D)``.
        """
        return self.posterior(self.pooling(tokens, self.pooling_effects(covariates), gene_emb, expr_states))

    def decode(
        self, z: torch.Tensor, log_size: torch.Tensor, covariates: torch.Tensor, dispersion_group: torch.Tensor
    ) -> Distribution:
        """Return the distribution of the counts; see :meth:`scdual.nn.CountDecoder.forward`."""
        return self.decoder(z, log_size, covariates, dispersion_group)
