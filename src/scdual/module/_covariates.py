"""Code the covariates of cells as columns of numbers.

Dimension key
    B  cells in the minibatch      U  covariate columns: one-hot batches and categories, then continuous covariates
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from scvi import REGISTRY_KEYS

from scdual._types import Dispersion


def covariate_columns(
    tensors: dict[str, torch.Tensor], *, n_batch: int, n_cats_per_cov: Sequence[int], n_continuous: int
) -> torch.Tensor:
    """Return one-hot batches and categories, then continuous covariates, shape ``(B, U)``.

    Parameters
    ----------
    tensors
        A minibatch; one without batches is of a single batch.
    n_batch, n_cats_per_cov, n_continuous
        Numbers of batches, of categories of each categorical covariate, and of continuous covariates.

    Raises
    ------
    ValueError
        If there are other covariates than these, or categories beyond them.
    """
    batch = tensors.get(REGISTRY_KEYS.BATCH_KEY)
    if batch is None:
        counts = tensors[REGISTRY_KEYS.X_KEY]
        batch = torch.zeros(len(counts), 1, device=counts.device)
    columns = [_one_hot(batch.squeeze(-1), n_batch, "batches")]
    cat_covs, cont_covs = tensors.get(REGISTRY_KEYS.CAT_COVS_KEY), tensors.get(REGISTRY_KEYS.CONT_COVS_KEY)
    found = tuple(0 if part is None else part.shape[1] for part in (cat_covs, cont_covs))
    if found != (len(n_cats_per_cov), n_continuous):
        msg = (
            f"A minibatch has {found[0]} categorical and {found[1]} continuous covariates, but the model "
            f"{len(n_cats_per_cov)} and {n_continuous}; pass those with which the model was set up."
        )
        raise ValueError(msg)
    if cat_covs is not None:
        codes = cat_covs.unbind(1)
        columns += [_one_hot(code, n, "categories") for code, n in zip(codes, n_cats_per_cov, strict=True)]
    if cont_covs is not None:
        columns.append(cont_covs.float())
    return torch.cat(columns, dim=1)


def _one_hot(codes: torch.Tensor, n: int, what: str) -> torch.Tensor:
    try:
        return F.one_hot(codes.long(), n).float()
    except RuntimeError as error:
        if "Class values" not in str(error):
            raise
        msg = f"A minibatch has codes of {what} beyond the {n} of the model; pass data with the {what} of the model."
        raise ValueError(msg) from error


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
