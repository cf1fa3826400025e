"""What SCDual inherits from scvi-tools, repaired where a method would fail or mislead.

Dimension key
    C  cells      Z  latent dimensions
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import rich.pretty  # noqa: F401 - scvi-tools calls it without importing it
import torch
from anndata import AnnData
from mudata import MuData
from scvi import REGISTRY_KEYS
from scvi.model.base import BaseModelClass, EmbeddingMixin, VAEMixin
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, StudentT

from scdual.data._rollback import unchanged_on_error
from scdual.model._scvi import SETUP_ARGS_KEY, UUID_KEY


class InheritedMixin(EmbeddingMixin, VAEMixin, BaseModelClass):
    """Methods of scvi-tools with clear errors when there are no data, and a few corrections."""

    def get_latent_representation(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        give_mean: bool = True,
        mc_samples: int = 5_000,
        batch_size: int | None = None,
        return_dist: bool = False,
        dataloader: Iterable[dict[str, torch.Tensor]] | None = None,
        **data_loader_kwargs: Any,
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        r"""Return the embedding of the cells, shape ``(C, Z)``.

        It is the latent state in coordinates in which a direction counts the more, the more expression changes along it,

        .. math:: z A, \qquad A A^\top = \frac{1}{2} \left( I + \frac{\mathrm{tr}(C)}{\mathrm{tr}(M C)} M \right),
                  \qquad M = \mathbb{E} \left[ J^\top J \right]

        with the covariance C of the latent states of the training cells and the derivative J of their decoded log
        expression :cite:p:`Arvanitidis18`. The columns are principal components, so the first differs most between the
        cells.

        Parameters
        ----------
        adata
            Data with the genes of the model; None takes the data it was built with.
        indices
            Positions of the cells; None takes all.
        give_mean
            Whether to return the mean of each cell's posterior instead of a sample.
        mc_samples
            Not used: the mean is exact.
        batch_size
            Cells per minibatch.
        return_dist
            Whether to return means and variances.
        dataloader
            Minibatches, in place of ``adata``, ``indices`` and ``batch_size``.
        **data_loader_kwargs
            Arguments of the data loader.
        """
        latent = super().get_latent_representation(
            adata, indices, give_mean, mc_samples, batch_size, return_dist, dataloader, **data_loader_kwargs
        )
        axes = self.module.cell_state.axes.cpu().numpy()
        return (latent[0] @ axes, latent[1] @ axes**2) if return_dist else latent @ axes

    def get_marginal_ll(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        n_mc_samples: int = 1_000,
        batch_size: int | None = None,
        return_mean: bool = True,
        **kwargs: Any,
    ) -> torch.Tensor | float:
        """Return the marginal log-likelihood; scvi-tools weights minibatches alike, whatever their size.

        Parameters
        ----------
        adata
            Data with the genes of the model; None takes the data it was built with.
        indices
            Positions of the cells; None takes all.
        n_mc_samples
            Monte Carlo samples per cell.
        batch_size
            Cells per minibatch.
        return_mean
            Whether to return the mean over cells instead of a value per cell.
        **kwargs
            ``dataloader`` and ``data_loader_kwargs`` of scvi-tools, and arguments of the module's ``marginal_ll``.
        """
        values = super().get_marginal_ll(adata, indices, n_mc_samples, batch_size, return_mean=False, **kwargs)
        return float(values.mean()) if return_mean else values

    @torch.inference_mode()
    def get_aggregated_posterior(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        batch_size: int | None = None,
        dof: float | None = 3.0,
    ) -> MixtureSameFamily:
        """Return the mixture of the cells' posteriors, event shape ``(Z,)``; scvi-tools takes variances for scales.

        Parameters
        ----------
        adata
            Data with the genes of the model; None takes the data it was built with.
        indices
            Positions of the cells; None takes all.
        batch_size
            Cells per minibatch.
        dof
            Degrees of freedom of Student's t components; None makes them normal.
        """
        mean, var = self.get_latent_representation(adata, indices, batch_size=batch_size, return_dist=True)
        loc = torch.from_numpy(mean).to(self.device)  # (C, Z)
        scale = torch.from_numpy(var).to(self.device).sqrt()  # (C, Z)
        components = Normal(loc, scale) if dof is None else StudentT(dof, loc, scale)
        return MixtureSameFamily(Categorical(logits=torch.zeros_like(loc[:, 0])), Independent(components, 1))

    def differential_abundance(
        self, adata: AnnData | MuData | None = None, sample_key: str | None = None, **kwargs: Any
    ) -> None:
        """Write each cell's log density under each sample to ``obsm["da_log_probs"]``, as scvi-tools does.

        Parameters
        ----------
        adata
            Data with the genes of the model; None takes the data it was built with.
        sample_key
            Column of ``obs`` with the sample of each cell.
        **kwargs
            ``batch_size``, ``num_cells_posterior`` and ``dof`` of scvi-tools.

        Raises
        ------
        KeyError
            If ``sample_key`` is no column of ``obs``.
        """
        self._check_if_trained(warn=False)
        adata = self._validate_anndata(adata)
        if sample_key not in adata.obs:
            msg = f"`sample_key={sample_key!r}` is not a column of `obs`, which has {list(adata.obs.columns)}."
            raise KeyError(msg)
        super().differential_abundance(adata, sample_key, **kwargs)

    def get_batch_representation(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        batch_size: int | None = None,
    ) -> np.ndarray:
        """Return the learnt vector of each cell's batch, one row per cell.

        Parameters
        ----------
        adata
            Data with the genes of the model; None takes the data it was built with.
        indices
            Positions of the cells; None takes all.
        batch_size
            Cells per minibatch.

        Raises
        ------
        ValueError
            If the batch is coded one-hot.
        """
        self._check_if_trained(warn=False)
        if not self.module.has_batch_embedding:
            msg = (
                "The batch is coded one-hot, so it has no vector; build SCDual with `batch_representation='embedding'`."
            )
            raise ValueError(msg)
        return super().get_batch_representation(adata, indices, batch_size)

    def deregister_manager(self, adata: AnnData | MuData | None = None) -> None:
        """Forget data that were passed to the model, so that their memory can be freed.

        Parameters
        ----------
        adata
            Data to forget; None forgets all but the model's own.

        Raises
        ------
        ValueError
            If the model does not know these data.
        """
        stores = [self._setup_adata_manager_store, self._per_instance_manager_store.get(self.id, {})]
        known = {key for store in stores for key in store}
        if adata is None:
            forgotten = known - ({self.adata_manager.adata_uuid} if self.adata_manager else set())
        else:
            forgotten = known & {adata.uns.get(UUID_KEY)}
            if not forgotten:
                msg = "The model does not know these data; pass the object that was given to the model."
                raise ValueError(msg)
        for store in stores:
            for key in forgotten & set(store):
                del store[key]

    def view_anndata_setup(self, adata: AnnData | MuData | None = None, hide_state_registries: bool = False) -> None:
        """Print how the data were registered, as scvi-tools does."""
        self._require_data(adata)
        super().view_anndata_setup(adata, hide_state_registries=hide_state_registries)

    def view_registry(self, hide_state_registries: bool = False) -> None:
        """Print how the model's data were registered."""
        self.view_anndata_setup(hide_state_registries=hide_state_registries)

    def update_setup_method_args(self, setup_method_args: dict[str, Any]) -> None:
        """Update the arguments of ``setup_anndata`` that are saved with the model."""
        self.registry_[SETUP_ARGS_KEY].update(setup_method_args)

    def _require_data(self, adata: AnnData | MuData | None = None) -> None:
        if adata is None and self.adata is None:
            msg = (
                "The model was loaded or built without data, so there is nothing to work on; "
                "pass `adata` or set `model.adata = adata`."
            )
            raise ValueError(msg)

    def _validate_anndata(self, adata: AnnData | MuData | None = None, copy_if_view: bool = True) -> AnnData | MuData:
        """Register data the model does not know; those it knows must not have changed since.

        Raises
        ------
        ValueError
            If the model's own data have changed. Other data are registered anew.
        """
        self._require_data(adata)
        data = self.adata if adata is None else adata
        if not data.n_obs:  # scvi-tools takes empty data for none
            msg = "The data have no cells; check how they were selected."
            raise ValueError(msg)
        with unchanged_on_error(data):
            super()._validate_anndata(data, copy_if_view)
            manager = self.get_anndata_manager(data, required=True)
            changes = manager.changes()
            if changes and manager is self.adata_manager:
                msg = (
                    f"The data changed after they were set up: {changes}; undo that, or call `SCDual.setup_anndata` again "
                    "and build a new model."
                )
                raise ValueError(msg)
            if changes:
                self._register_manager_for_instance(self.adata_manager.transfer_fields(data))
            self._require_labels(data)
        return data

    def _require_labels(self, data: AnnData | MuData) -> None:
        """Raise a ValueError if a cell has no label where its counts are decoded with the dispersions of its label."""
        module = getattr(self, "module", None)  # there is none yet when a model is built
        if module is None or module.dispersion != "gene-label":
            return
        codes = self.get_anndata_manager(data, required=True).get_from_registry(REGISTRY_KEYS.LABELS_KEY)
        n_missing = int((codes >= module.n_labels).sum())
        if n_missing:
            msg = (
                f"`dispersion='gene-label'` needs a known label of every cell, but {n_missing} of {data.n_obs} cells have none; "
                "give them one in `obs`, or build the model with `dispersion='gene'`."
            )
            raise ValueError(msg)

    def _make_data_loader(
        self, adata: AnnData | MuData, indices: Sequence[int] | np.ndarray | None = None, **kwargs: Any
    ) -> Iterable[dict[str, torch.Tensor]]:
        if indices is not None:
            indices = cell_positions(adata, indices)
        return super()._make_data_loader(adata, indices, **kwargs)


def cell_positions(adata: AnnData | MuData, indices: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return positions of cells, ``(C,)``, from positions or a boolean mask.

    Raises
    ------
    ValueError
        If no cell is chosen.
    """
    chosen = np.atleast_1d(np.asarray(indices))
    positions = np.arange(adata.n_obs)[chosen] if chosen.size else chosen
    if not positions.size:
        msg = f"`indices` chooses none of the {adata.n_obs} cells; pass positions or a mask with a True."
        raise ValueError(msg)
    return positions
