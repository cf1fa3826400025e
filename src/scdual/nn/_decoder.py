"""Decode counts from the latent state, and targets from their regulators.

Dimension key
    B  cells      G  genes      T  targets      Z  latent dimensions      U  covariates after one-hot coding
"""

import torch
from torch import nn


class RegulationDecoder(nn.Module):
    r"""Add what regulators contribute to what every cell of a batch shares.

    .. math:: \hat x_{bj} = \beta_j + u_b \cdot \gamma_j + \sum_i W_{bji} \tilde x_{bi}

    Parameters
    ----------
    n_genes
        Number of genes ``G``.
    n_covariates
        Number ``U`` of covariate columns: one-hot batches and categories, and continuous covariates.
    """

    def __init__(self, n_genes: int, n_covariates: int) -> None:
        super().__init__()
        self.intercept = nn.Parameter(torch.zeros(n_genes))
        self.covariate_effect = nn.Parameter(torch.zeros(n_covariates, n_genes))

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
        return self.intercept[target] + covariates @ self.covariate_effect[:, target] + contribution
