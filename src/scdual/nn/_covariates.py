"""Let batches and other covariates shift a vector.

Dimension key
    B  cells      U  covariate columns: one-hot batches and categories, then continuous covariates      O  outputs
"""

from collections.abc import Sequence

import torch
from torch import nn


class CovariateEffects(nn.Module):
    r"""Sum the effects of a cell's covariates, one learnt vector per category and one slope per continuous covariate.

    .. math:: e_b = \sum_k \gamma^{(k)}_{c_{bk}} + \sum_m u_{bm} \, \beta_m

    Each categorical covariate has a table of its own, so that categories of new data are new rows and nothing else
    changes. The effects start at zero.

    Parameters
    ----------
    n_out
        Number of outputs ``O``.
    n_categories
        Number of categories of each categorical covariate, the batch first.
    n_continuous
        Number of continuous covariates.
    """

    def __init__(self, n_out: int, *, n_categories: Sequence[int], n_continuous: int = 0) -> None:
        super().__init__()
        self.categorical = nn.ParameterList(torch.zeros(n, n_out) for n in n_categories)
        self.continuous = nn.Parameter(torch.zeros(n_continuous, n_out))

    @property
    def n_columns(self) -> int:
        """Number ``U`` of covariate columns."""
        return sum(len(table) for table in (*self.categorical, self.continuous))

    @torch.no_grad()
    def set(self, effects: torch.Tensor) -> None:
        """Let each covariate column have these effects, shape ``(U, O)``."""
        tables = (*self.categorical, self.continuous)
        for table, rows in zip(tables, effects.split([len(table) for table in tables]), strict=True):
            table.copy_(rows)

    def forward(self, covariates: torch.Tensor) -> torch.Tensor:
        """Return the summed effects ``(B, O)`` of covariates ``(B, U)``."""
        return covariates @ torch.cat([*self.categorical, self.continuous])
