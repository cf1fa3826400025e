"""Read the networks of the members of an ensemble."""

from collections.abc import Sequence

import numpy as np
import torch
from anndata import AnnData
from mudata import MuData

from scdual.grn import RegulatoryNetwork
from scdual.model._cells import cell_positions, check_cells
from scdual.model._regulation import RegulationMixin


class EnsembleNetworksMixin(RegulationMixin):
    """The method of SCDual that returns the networks of an ensemble."""

    @torch.inference_mode()
    def ensemble_networks(
        self,
        adata: AnnData | MuData | None = None,
        *,
        indices: Sequence[int] | None = None,
        batch_size: int | None = None,
    ) -> list[RegulatoryNetwork]:
        """Return the network of each member of the ensemble, in the order in which they were trained.

        Parameters
        ----------
        adata, indices, batch_size
            As in :meth:`get_regulation`.

        Raises
        ------
        RuntimeError
            If the model is not trained, or has no ensemble.
        ValueError
            If ``indices`` or ``batch_size`` is not valid.
        """
        self._check_map_is_learnt()
        if not self.ensemble_:
            msg = "The model has no ensemble; call `train_ensemble` first. Training the model again throws it away."
            raise RuntimeError(msg)
        check_cells(adata, indices, batch_size)
        members = [self._member(state) for state in self.ensemble_]
        if adata is None and indices is None:
            return [self._named(self._known(member).weight) for member in members]
        adata = self._validate_anndata(adata)
        cells = {"": np.arange(adata.n_obs) if indices is None else cell_positions(adata, indices)}
        return [self._named(self._group_pairs(member, adata, cells, batch_size)[""].weight) for member in members]
