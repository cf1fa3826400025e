"""Decode counts from the latent state, and targets from their regulators.

Dimension key
    B  cells      G  genes      T  targets      Z  latent dimensions      H  hidden width
    U  covariates after one-hot coding          N  groups of cells that share their dispersions
"""

import torch
import torch.nn.functional as F
from scvi.distributions import NegativeBinomial, Poisson, ZeroInflatedNegativeBinomial
from torch import nn
from torch.distributions import Distribution

from scdual._types import GeneLikelihood
from scdual.nn._covariates import CovariateEffects


class RegulationDecoder(nn.Module):
    r"""Add what regulators contribute to what every cell of a batch shares.

    .. math:: \hat x_{bj} = \beta_j + e_{bj} + \sum_i W_{bji} \tilde x_{bi}

    with the effects e of the covariates.

    Parameters
    ----------
    effects
        Effects of the covariates on each of the ``G`` genes.
    n_genes
        Number of genes ``G``.
    """

    def __init__(self, effects: CovariateEffects, n_genes: int) -> None:
        super().__init__()
        self.intercept = nn.Parameter(torch.zeros(n_genes))
        self.effects = effects

    def forward(self, contribution: torch.Tensor, covariates: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the predicted standardised values of targets, shape ``(B, T)``.

        Parameters
        ----------
        contribution
            Summed contribution of the regulators, shape ``(B, T)``.
        covariates
            Covariates, shape ``(B, U)``.
        target
            Positions of the targets among the genes, shape ``(T,)``.
        """
        return self.intercept[target] + self.effects(covariates)[:, target] + contribution


class CountDecoder(nn.Module):
    r"""Give each gene of a cell a distribution of counts, from the latent state and the covariates :cite:p:`Lopez18`.

    .. math::
        h = \mathrm{ReLU}(\mathrm{LayerNorm}(W z + b + e)), \qquad \rho = \mathrm{softmax}(W_\rho h + c + d), \qquad
        x \sim \mathrm{NB}(\ell \rho, \theta)

    with the effects e and d of the covariates, the library size :math:`\ell` and the inverse dispersions
    :math:`\theta`. What a batch does to a gene in all cells alike is in d, so that the latent state need not tell it.

    Parameters
    ----------
    effects
        Effects e of the covariates on each of the ``H`` hidden units.
    gene_effects
        Effects d of the covariates on the log share of each of the ``G`` genes.
    n_latent
        Number of latent dimensions ``Z``.
    n_genes
        Number of genes ``G``.
    n_hidden
        Hidden width ``H``.
    n_dispersions
        Number ``N`` of groups of cells with dispersions of their own; None gives each cell its own.
    gene_likelihood
        Family of the distribution.
    """

    def __init__(
        self,
        effects: CovariateEffects,
        gene_effects: CovariateEffects,
        *,
        n_latent: int,
        n_genes: int,
        n_hidden: int,
        n_dispersions: int | None,
        gene_likelihood: GeneLikelihood,
    ) -> None:
        super().__init__()
        self.gene_likelihood = gene_likelihood
        self.effects = effects
        self.gene_effects = gene_effects
        self.latent_proj = nn.Linear(n_latent, n_hidden)
        self.norm = nn.LayerNorm(n_hidden)
        self.proportion_proj = nn.Linear(n_hidden, n_genes)
        self.zero_proj = nn.Linear(n_hidden, n_genes) if gene_likelihood == "zinb" else None
        self.cell_dispersion_proj = nn.Linear(n_hidden, n_genes) if n_dispersions is None else None
        self.log_inverse_dispersion = nn.Parameter(torch.randn(n_dispersions or 0, n_genes))

    def forward(
        self, z: torch.Tensor, log_size: torch.Tensor, covariates: torch.Tensor, dispersion_group: torch.Tensor
    ) -> Distribution:
        """Return the distribution of the counts, batch shape ``(..., B, G)``.

        Parameters
        ----------
        z
            Latent state, shape ``(..., B, Z)``.
        log_size
            Log of the library size or size factor, shape ``(..., B, 1)``.
        covariates
            Covariates, shape ``(B, U)``.
        dispersion_group
            Group of each cell, shape ``(B,)``; not used if each cell has its own dispersions.
        """
        hidden = self.hidden(z, covariates)
        proportion = self.proportion(hidden, covariates)
        mean = log_size.exp() * proportion
        if self.gene_likelihood == "poisson":
            return Poisson(rate=mean, scale=proportion)
        if self.cell_dispersion_proj is None:
            # a row serves many cells; the gradient of indexing would add theirs up in an order that threads change
            theta = F.embedding(dispersion_group, self.log_inverse_dispersion.exp())  # (B, G)
        else:
            theta = self.cell_dispersion_proj(hidden).float().exp()
        if self.zero_proj is None:
            return NegativeBinomial(mu=mean, theta=theta, scale=proportion)
        zi_logits = self.zero_proj(hidden).float()
        return ZeroInflatedNegativeBinomial(mu=mean, theta=theta, zi_logits=zi_logits, scale=proportion)

    def hidden(self, z: torch.Tensor, covariates: torch.Tensor) -> torch.Tensor:
        """Return the hidden units, shape ``(..., B, H)``; see :meth:`forward`."""
        return self.norm(self.latent_proj(z) + self.effects(covariates)).relu()

    def proportion(self, hidden: torch.Tensor, covariates: torch.Tensor) -> torch.Tensor:
        """Return the share of each gene in a cell's molecules, shape ``(..., B, G)``, in full precision as counts need it."""
        return (self.proportion_proj(hidden).float() + self.gene_effects(covariates).float()).softmax(-1)

    @torch.no_grad()
    def start_at_shares(self, share: torch.Tensor, shares_of_batches: torch.Tensor) -> None:
        """Let genes start at their mean share of the molecules of a cell, in each batch.

        Parameters
        ----------
        share
            Mean share of each gene over all cells, shape ``(G,)``, all positive.
        shares_of_batches
            The same of the cells of each batch, shape ``(n_batch, G)``.
        """
        self.proportion_proj.bias.copy_(share.log())
        self.gene_effects.categorical[0].copy_((shares_of_batches / share).log())
