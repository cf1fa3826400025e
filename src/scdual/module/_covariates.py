"""Code the covariates of cells as columns of numbers.

Dimension key
    B  cells in the minibatch      U  covariate columns: one-hot batches and categories, then continuous covariates
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from scvi import REGISTRY_KEYS

from scdual._types import Dispersion


def covariate_columns(tensors: dict[str, torch.Tensor], *, n_batch: int, n_cats_per_cov: Sequence[int]) -> torch.Tensor:
    """Return one-hot batches and categories, then continuous covariates, shape ``(B, U)``.

    Parameters
    ----------
    tensors
        A minibatch.
    n_batch, n_cats_per_cov
        Numbers of batches and of categories of each categorical covariate.
    """
    batch_index = tensors[REGISTRY_KEYS.BATCH_KEY].squeeze(-1).long()
    columns = [F.one_hot(batch_index, n_batch).float()]
    cat_covs, cont_covs = tensors.get(REGISTRY_KEYS.CAT_COVS_KEY), tensors.get(REGISTRY_KEYS.CONT_COVS_KEY)
    if cat_covs is not None:
        codes = cat_covs.long().unbind(1)
        columns += [F.one_hot(code, n).float() for code, n in zip(codes, n_cats_per_cov, strict=True)]
    if cont_covs is not None:
        columns.append(cont_covs)
    return torch.cat(columns, dim=1)


def move_to_batch(covariates: torch.Tensor, batch: int, *, n_batch: int) -> torch.Tensor:
    """Return covariates ``(B, U)`` as if all cells were of the batch with this code."""
    moved = covariates.clone()
    moved[:, :n_batch] = 0
    moved[:, batch] = 1
    return moved


def batch_of(covariates: torch.Tensor, *, n_batch: int) -> torch.Tensor:
    """Return the code of each cell's batch, shape ``(B,)``, from covariates ``(B, U)``."""
    return covariates[:, :n_batch].argmax(1)


def dispersion_group(
    dispersion: Dispersion, covariates: torch.Tensor, labels: torch.Tensor | None, *, n_batch: int
) -> torch.Tensor:
    """Return which dispersions each cell has, shape ``(B,)``, from covariates ``(B, U)`` and labels ``(B, 1)``."""
    if dispersion == "gene-batch":
        return batch_of(covariates, n_batch=n_batch)
    if dispersion == "gene-label" and labels is not None:
        return labels.squeeze(-1).long()
    return torch.zeros(len(covariates), dtype=torch.int64, device=covariates.device)
