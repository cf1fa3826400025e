"""Importance weights of latent states.

Dimension key
    C  cells
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, get_args

import numpy as np
import torch
from anndata import AnnData
from mudata import MuData
from scvi.model.base import RNASeqMixin

from scdual._checks import argument_names, check_choice, check_flag, check_keywords, check_type, check_whole
from scdual._types import CellWeights
from scdual.model._cells import cell_positions, check_cells
from scdual.model._inherited import InheritedMixin

_CHECKS: dict[str, Callable[[str, Any], None]] = {
    **dict.fromkeys(("max_cells", "n_mc_samples", "n_mc_samples_per_pass"), partial(check_whole, at_least=1)),
    "truncation": check_flag,
}


class ImportanceMixin(RNASeqMixin, InheritedMixin):
    """The method of scVI that weighs latent states, with its conditions."""

    def get_importance_weights(
        self,
        adata: AnnData | MuData | None,
        indices: np.ndarray,
        qz: torch.distributions.Distribution,
        px: torch.distributions.Distribution,
        zs: torch.Tensor,
        max_cells: int = 1024,
        truncation: bool = False,
        n_mc_samples: int = 500,
        n_mc_samples_per_pass: int = 250,
        **data_loader_kwargs: Any,
    ) -> np.ndarray:
        """Return how well latent states explain cells in general, as :class:`scvi.model.base.RNASeqMixin` does.

        Parameters
        ----------
        adata, indices
            Cells, as in :meth:`get_normalized_expression`.
        qz, px
            Posteriors and count distributions of these cells.
        zs
            Latent states.
        max_cells
            Largest number of cells that judge the states.
        truncation
            Whether large weights are cut.
        n_mc_samples, n_mc_samples_per_pass
            As in :meth:`get_marginal_ll`.
        **data_loader_kwargs
            Further arguments of the data loader.

        Raises
        ------
        NotImplementedError
            If the likelihood is Poisson, or size factors are registered: scvi-tools counts on dispersions and on molecules.
        """
        self._require_dispersions("importance weights")
        if self.module.use_size_factor_key:
            msg = (
                "Importance weights of scvi-tools scale decoded expression by the molecules of a cell, which is wrong "
                "where size factors are registered; pass `weights='uniform'`."
            )
            raise NotImplementedError(msg)
        check_cells(adata, indices, loader_kwargs=data_loader_kwargs, own=argument_names(self.get_importance_weights))
        for name, value in {"qz": qz, "px": px}.items():
            check_type(name, value, torch.distributions.Distribution)
        check_type("zs", zs, torch.Tensor)
        _check_importance(max_cells=max_cells, truncation=truncation)
        _check_importance(n_mc_samples=n_mc_samples, n_mc_samples_per_pass=n_mc_samples_per_pass)
        adata = self._validate_anndata(adata)
        indices = cell_positions(adata, indices)
        given = (max_cells, truncation, n_mc_samples, n_mc_samples_per_pass)
        return super().get_importance_weights(adata, indices, qz, px, zs, *given, **data_loader_kwargs)

    def _require_dispersions(self, what: str) -> None:
        if self.module.gene_likelihood == "poisson":
            msg = f"The Poisson distribution has no dispersion, so there are no {what}; use `gene_likelihood='nb'`."
            raise NotImplementedError(msg)


def check_weights(weights: Any, importance_kwargs: Mapping[str, Any] | None) -> None:
    """Raise an error unless ``weights`` is a choice, and importance weights have arguments that they know and use."""
    check_choice("weights", weights, (*get_args(CellWeights), None))
    given = importance_kwargs or {}
    check_keywords(given, _CHECKS, where="With `weights='importance'` this method")
    _check_importance(**given)
    if given and weights != "importance":
        msg = f"`{next(iter(given))}` has no effect without `weights='importance'`; pass both, or neither."
        raise ValueError(msg)


def _check_importance(**given: Any) -> None:
    for name, value in given.items():
        _CHECKS[name](name, value)
