"""What SCDual inherits from scvi-tools, repaired where a method would fail or mislead.

Dimension key
    C  cells      Z  latent dimensions
"""

from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scvi.model.base import EmbeddingMixin, VAEMixin
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal, StudentT

from scdual._checks import argument_names, check_flag, check_keywords, check_number, check_type, check_whole
from scdual.model._cells import check_cells
from scdual.model._groups import group_names
from scdual.model._interruption import how_far
from scdual.model._minibatches import Minibatches
from scdual.model._registered_data import RegisteredDataMixin
from scdual.model._rows import check_out, write_rows
from scdual.module.map import MapCells

_FORWARD_KEYWORDS = ("inference_kwargs", "generative_kwargs", "get_generative_input_kwargs", "loss_kwargs")


class InheritedMixin(EmbeddingMixin, VAEMixin, RegisteredDataMixin):
    """Methods of scvi-tools with clear errors when there are no data, and a few corrections."""

    interrupted_: dict[str, int] | None = None  # how far the last training came, if it was interrupted

    @property
    def summary_string(self) -> str:
        """What the model is, and whether it is trained, partly trained or not trained."""
        status = "Trained" if self.is_trained_ else "Not Trained"
        if self.module.is_scaled and not self.is_trained_:
            status = "Map learnt, embedding not trained"
        if self.interrupted_ is not None:
            status = f"Partly trained, interrupted {how_far(self.interrupted_)}"
        return f"{self._model_summary_string}\nTraining status: {status}"

    def get_latent_representation(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        give_mean: bool = True,
        mc_samples: int = 5_000,
        batch_size: int | None = None,
        return_dist: bool = False,
        dataloader: Iterable[dict[str, torch.Tensor]] | None = None,
        *,
        out: str | PathLike[str] | None = None,
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
        out
            File that ends in ``.npy``, to which the embedding is written minibatch by minibatch, so that it is never in memory as
            a whole; a file of that name is replaced once all is written. What is returned is then read from the file.
        **data_loader_kwargs
            Arguments of the data loader.

        Raises
        ------
        RuntimeError
            If the model is not trained.
        TypeError, ValueError
            If an argument is unknown or wrong, or both minibatches and other cells are given.
        OSError
            If ``out`` cannot be written.
        """
        own = argument_names(self.get_latent_representation)
        check_cells(adata, indices, batch_size, dataloader, data_loader_kwargs, own=own)
        check_flag("give_mean", give_mean)
        check_whole("mc_samples", mc_samples, at_least=1)
        check_flag("return_dist", return_dist)
        check_out(out, return_dist=return_dist)
        axes = self.module.cell_state.axes.cpu().numpy()
        embed = super().get_latent_representation
        if out is not None:
            self._check_if_trained(warn=False)
            if dataloader is None:
                adata = self._validate_anndata(adata)
                dataloader = self._make_data_loader(adata, indices, batch_size=batch_size, **data_loader_kwargs)
            sizes = {"give_mean": give_mean, "mc_samples": mc_samples}
            return write_rows(out, (embed(dataloader=[tensors], **sizes) @ axes for tensors in dataloader))
        latent = embed(adata, indices, give_mean, mc_samples, batch_size, return_dist, dataloader, **data_loader_kwargs)
        return (latent[0] @ axes, latent[1] @ axes**2) if return_dist else latent @ axes

    def _cells(self, adata: AnnData | MuData | None, dataloader: Iterable[dict[str, torch.Tensor]] | None) -> Any:
        """Return the cells that a call is about: data, or minibatches that look like it."""
        return self._validate_anndata(adata) if dataloader is None else Minibatches(dataloader, self.registry_)

    def _batches(self, cells: Any, indices: Any, batch_size: int | None) -> Iterable[MapCells]:
        """Return the minibatches of the cells at ``indices`` as the map takes them."""
        if isinstance(cells, Minibatches):
            return self.module.map_batches(cells.of(indices))
        return self.module.map_batches(
            self._make_data_loader(adata=cells, indices=indices, batch_size=batch_size or 512)
        )

    def _check_if_trained(self, warn: bool = True, message: str | None = None) -> None:
        """Raise ``RuntimeError`` unless the embedding is trained, as scvi-tools does, or warn; the map alone is not enough."""
        if self.module.is_scaled and not self.is_trained_:
            message = (
                "The model has learnt its regulatory map alone, and what was asked for rests on the embedding; train the "
                "model first, with `train`."
            )
        super()._check_if_trained(warn, *(() if message is None else (message,)))

    def _check_map_is_learnt(self) -> None:
        if not self.module.is_scaled:
            msg = (
                "The model is not trained, so it has no regulatory map; call `train`, or `train_map` for the map alone."
            )
            raise RuntimeError(msg)

    def _n_epochs(self) -> int:
        history = self.history or {}
        return len(history.get("train_loss", history.get("train_loss_epoch", ())))

    def get_marginal_ll(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        n_mc_samples: int = 1_000,
        batch_size: int | None = None,
        return_mean: bool = True,
        dataloader: Iterable[dict[str, torch.Tensor]] | None = None,
        data_loader_kwargs: dict[str, Any] | None = None,
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
        dataloader
            Minibatches, in place of ``adata``, ``indices`` and ``batch_size``.
        data_loader_kwargs
            Further arguments of the data loader.
        **kwargs
            Only ``n_mc_samples_per_pass``, the samples that are held in memory at once.

        Raises
        ------
        RuntimeError, TypeError, ValueError
            As :meth:`get_latent_representation`.
        """
        self._check_if_trained(warn=False)
        check_cells(adata, indices, batch_size, dataloader, data_loader_kwargs)
        check_whole("n_mc_samples", n_mc_samples, at_least=1)
        check_flag("return_mean", return_mean)
        check_keywords(
            kwargs, ["n_mc_samples_per_pass"], where="`get_marginal_ll`", own=argument_names(self.get_marginal_ll)
        )
        check_whole("n_mc_samples_per_pass", kwargs.get("n_mc_samples_per_pass"), at_least=1, optional=True)
        values = super().get_marginal_ll(
            adata, indices, n_mc_samples, batch_size, False, dataloader, data_loader_kwargs, **kwargs
        )
        return float(values.mean()) if return_mean else values

    def get_elbo(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        batch_size: int | None = None,
        dataloader: Iterable[dict[str, torch.Tensor]] | None = None,
        return_mean: bool = True,
        data_loader_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> torch.Tensor:
        """Return the evidence lower bound of the counts, its mean over cells or one value per cell; higher is better.

        Parameters
        ----------
        adata, indices, batch_size, dataloader, return_mean, data_loader_kwargs
            As in :meth:`get_marginal_ll`.
        **kwargs
            Arguments of the module's ``forward``.

        Raises
        ------
        RuntimeError, TypeError, ValueError
            As :meth:`get_latent_representation`.
        """
        self._check_if_trained(warn=False)
        check_cells(adata, indices, batch_size, dataloader, data_loader_kwargs)
        check_flag("return_mean", return_mean)
        check_keywords(kwargs, _FORWARD_KEYWORDS, where="`get_elbo`", own=argument_names(self.get_elbo))
        return super().get_elbo(adata, indices, batch_size, dataloader, return_mean, data_loader_kwargs, **kwargs)

    def get_reconstruction_error(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        batch_size: int | None = None,
        dataloader: Iterable[dict[str, torch.Tensor]] | None = None,
        return_mean: bool = True,
        data_loader_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> dict[str, torch.Tensor]:
        """Return the negative log-likelihood of the counts, as ``{"reconstruction_loss": ...}``; lower is better.

        Parameters
        ----------
        adata, indices, batch_size, dataloader, return_mean, data_loader_kwargs
            As in :meth:`get_marginal_ll`.
        **kwargs
            Arguments of the module's ``forward``.

        Raises
        ------
        RuntimeError, TypeError, ValueError
            As :meth:`get_latent_representation`.
        """
        self._check_if_trained(warn=False)
        check_cells(adata, indices, batch_size, dataloader, data_loader_kwargs)
        check_flag("return_mean", return_mean)
        check_keywords(
            kwargs,
            _FORWARD_KEYWORDS,
            where="`get_reconstruction_error`",
            own=argument_names(self.get_reconstruction_error),
        )
        return super().get_reconstruction_error(
            adata, indices, batch_size, dataloader, return_mean, data_loader_kwargs, **kwargs
        )

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
        check_number("dof", dof, above=0, optional=True)
        mean, var = self.get_latent_representation(adata, indices, batch_size=batch_size, return_dist=True)
        loc = torch.from_numpy(mean).to(self.device)  # (C, Z)
        scale = torch.from_numpy(var).to(self.device).sqrt()  # (C, Z)
        components = Normal(loc, scale) if dof is None else StudentT(dof, loc, scale)
        return MixtureSameFamily(Categorical(logits=torch.zeros_like(loc[:, 0])), Independent(components, 1))

    def differential_abundance(
        self,
        adata: AnnData | MuData | None = None,
        sample_key: str | Sequence[str] | None = None,
        batch_size: int = 128,
        num_cells_posterior: int | None = None,
        dof: float | None = None,
        adata_sub: AnnData | MuData | None = None,
    ) -> None:
        """Write each cell's log density under each sample to ``obsm["da_log_probs"]``, as scvi-tools does.

        Parameters
        ----------
        adata
            Data with the genes of the model, whose cells make the densities; None takes the data it was built with.
        sample_key
            Column of ``obs``, or several, with the sample of each cell.
        batch_size
            Cells per minibatch.
        num_cells_posterior
            Largest number of cells of a sample that make its density, drawn at random; None takes all.
        dof
            As in :meth:`get_aggregated_posterior`.
        adata_sub
            Data that get the result, if not all of ``adata``.

        Raises
        ------
        KeyError
            If ``sample_key`` is no column of ``obs``.
        TypeError, ValueError
            If another argument is wrong.
        """
        self._check_if_trained(warn=False)
        check_cells(adata, batch_size=batch_size)
        check_type("adata_sub", adata_sub, AnnData, MuData, optional=True)
        check_number("dof", dof, above=0, optional=True)
        check_whole("num_cells_posterior", num_cells_posterior, at_least=1, optional=True)
        adata = self._validate_anndata(adata)
        asked = adata if adata_sub is None else self._validate_anndata(adata_sub)
        samples = group_names("sample_key", sample_key, adata.obs)
        latent = torch.from_numpy(self.get_latent_representation(asked, batch_size=batch_size)).to(self.device)
        densities = {}
        for name in samples.cat.categories:
            cells = np.flatnonzero(samples == name)
            if num_cells_posterior is not None and num_cells_posterior < len(cells):
                cells = np.sort(np.random.choice(cells, num_cells_posterior, replace=False))  # noqa: NPY002 - scvi's seed
            posterior = self.get_aggregated_posterior(adata, cells.tolist(), batch_size, dof)
            densities[name] = torch.cat([posterior.log_prob(part) for part in latent.split(batch_size)]).cpu().numpy()
        asked.obsm["da_log_probs"] = pd.DataFrame(densities, index=asked.obs_names)

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
        check_cells(adata, indices, batch_size)
        if not self.module.has_batch_embedding:
            msg = (
                "The batch is coded one-hot, so it has no vector; build SCDual with `batch_representation='embedding'`."
            )
            raise ValueError(msg)
        return super().get_batch_representation(adata, indices, batch_size)
