"""Expression as the model decodes it: normalised, sampled, correlated.

Dimension key
    C  cells      G  genes      S  samples
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scipy.stats import rankdata
from scvi import REGISTRY_KEYS

from scdual._checks import argument_names, check_choice, check_flag, check_names, check_number, check_whole
from scdual._types import CellWeights, CorrelationType
from scdual.model._cells import cell_positions, check_cells, given_minibatches
from scdual.model._importance import ImportanceMixin, check_weights
from scdual.model._progress import drawn_on_stderr
from scdual.model._scvi import batch_codes


class ExpressionMixin(ImportanceMixin):
    """Methods of scVI that need the count decoder, for AnnData and MuData."""

    def get_normalized_expression(  # noqa: PLR0913 - the signature of scvi-tools
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        transform_batch: Sequence[int | str] | int | str | None = None,
        gene_list: Sequence[str] | None = None,
        library_size: float | Literal["latent"] = 1,
        n_samples: int = 1,
        n_samples_overall: int | None = None,
        weights: CellWeights | None = None,
        batch_size: int | None = None,
        return_mean: bool = True,
        return_numpy: bool | None = None,
        silent: bool = True,
        dataloader: Iterable[dict[str, torch.Tensor]] | None = None,
        data_loader_kwargs: dict[str, Any] | None = None,
        **importance_weighting_kwargs: Any,
    ) -> np.ndarray | pd.DataFrame:
        r"""Return the expression that the model decodes, :math:`\rho` of :cite:t:`Lopez18`, as scVI does.

        Parameters
        ----------
        adata
            Data with the genes of the model; None takes the data it was built with.
        indices
            Positions of the cells; None takes all.
        transform_batch
            Batch, or batches to average over, in which the cells are decoded; None takes their own.
        gene_list
            Genes to return, in the order of the data; None returns all.
        library_size
            What the expression of a cell adds up to; ``"latent"`` takes its library size or size factor.
        n_samples
            Samples of the latent state per cell.
        n_samples_overall
            Samples over all cells, in place of ``n_samples``.
        weights
            How ``n_samples_overall`` are drawn: uniformly, or with importance weights.
        batch_size
            Cells per minibatch.
        return_mean
            Whether to average over the samples of a cell.
        return_numpy
            Whether to return an array instead of a table. Single samples are always an array.
        silent
            Whether to hide the progress bar.
        dataloader
            Minibatches in place of ``adata``; the result is an array then.
        data_loader_kwargs
            Further arguments of the data loader.
        **importance_weighting_kwargs
            Arguments of :meth:`get_importance_weights`.

        Returns
        -------
        Table ``(C, G)``; array ``(S, C, G)`` if single samples are asked for, ``(n_samples_overall, G)`` of those.

        Raises
        ------
        RuntimeError
            If the model is not trained.
        TypeError, ValueError
            If a gene or batch is unknown, another argument is wrong, or two of them do not go together.
        """
        self._check_if_trained(warn=False)
        own = argument_names(self.get_normalized_expression)
        check_cells(adata, indices, batch_size, dataloader, data_loader_kwargs, own=own)
        genes = self._gene_positions(gene_list)
        self._check_batches("transform_batch", transform_batch, dataloader)
        if library_size != "latent":
            check_number("library_size", library_size, above=0)
        check_whole("n_samples", n_samples, at_least=1)
        check_whole("n_samples_overall", n_samples_overall, at_least=1, optional=True)
        if n_samples_overall is not None and n_samples != 1:
            msg = f"`n_samples` is {n_samples} beside `n_samples_overall`, expected only one of them. Leave out one."
            raise ValueError(msg)
        check_weights(weights, importance_weighting_kwargs)
        if weights == "importance" and (n_samples_overall is None or dataloader is not None):
            msg = "`weights='importance'` needs `n_samples_overall`, and cells of `adata`; pass both, or 'uniform'."
            raise ValueError(msg)
        check_flag("return_mean", return_mean)
        check_flag("return_numpy", return_numpy, optional=True)
        check_flag("silent", silent)
        cells = np.arange(0)
        if dataloader is None:
            adata = self._validate_anndata(adata)
            cells = cell_positions(adata, range(adata.n_obs) if indices is None else indices)
        chosen_there = gene_list if isinstance(adata, AnnData) else None  # scvi-tools looks genes up in `var_names`
        with given_minibatches(), drawn_on_stderr(silent) as is_silent:
            expression = super().get_normalized_expression(
                adata,
                None if dataloader is not None else cells,
                transform_batch,
                chosen_there,
                library_size,
                n_samples,
                n_samples_overall,
                weights,
                batch_size,
                return_mean,
                True,
                is_silent,
                dataloader,
                data_loader_kwargs,
                **importance_weighting_kwargs,
            )
        if chosen_there is None:
            expression = expression[..., genes]
        is_table = n_samples_overall is None and (n_samples == 1 or return_mean)
        if return_numpy or adata is None or not is_table:
            return expression
        return pd.DataFrame(expression, index=adata.obs_names[cells], columns=np.array(self.gene_names)[genes])

    def posterior_predictive_sample(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        transform_batch: Sequence[int | str] | int | str | None = None,
        n_samples: int = 1,
        gene_list: Sequence[str] | None = None,
        batch_size: int | None = None,
        dataloader: Iterable[dict[str, torch.Tensor]] | None = None,
        silent: bool = True,
        **data_loader_kwargs: Any,
    ) -> Any:
        """Return counts drawn from the posterior predictive, sparse, ``(C, G)`` or ``(C, G, S)``, as scVI does.

        Parameters
        ----------
        adata, indices, transform_batch, batch_size, silent, dataloader
            As in :meth:`get_normalized_expression`.
        n_samples
            Number S of samples per cell.
        gene_list
            Genes to return, in the order of the data; None returns all.
        **data_loader_kwargs
            Further arguments of the data loader.

        Returns
        -------
        A ``sparse.GCXS`` array.

        Raises
        ------
        RuntimeError, TypeError, ValueError
            As :meth:`get_normalized_expression`.
        """
        self._check_if_trained(warn=False)
        own = argument_names(self.posterior_predictive_sample)
        check_cells(adata, indices, batch_size, dataloader, data_loader_kwargs, own=own)
        self._check_batches("transform_batch", transform_batch, dataloader)
        check_whole("n_samples", n_samples, at_least=1)
        check_flag("silent", silent)
        genes = self._gene_positions(gene_list)
        with drawn_on_stderr(silent) as is_silent:
            counts = super().posterior_predictive_sample(
                adata,
                indices,
                transform_batch,
                n_samples,
                None,
                batch_size,
                dataloader,
                is_silent,
                **data_loader_kwargs,
            )
        return counts if gene_list is None else counts[:, genes]

    def get_likelihood_parameters(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        n_samples: int = 1,
        give_mean: bool = False,
        batch_size: int | None = None,
        dataloader: Iterable[dict[str, torch.Tensor]] | None = None,
        **data_loader_kwargs: Any,
    ) -> dict[str, np.ndarray]:
        """Return the parameters of the count distributions, each ``(C, G)`` or ``(S, C, G)``, as scVI does.

        Parameters
        ----------
        adata, indices, batch_size, dataloader
            As in :meth:`get_normalized_expression`.
        n_samples
            Number S of samples of the latent state per cell.
        give_mean
            Whether to average over the samples.
        **data_loader_kwargs
            Further arguments of the data loader.

        Returns
        -------
        ``mean``; for the negative binomial also ``dispersions``, and for the zero-inflated one ``dropout``.
        """
        self._check_if_trained(warn=False)
        own = argument_names(self.get_likelihood_parameters)
        check_cells(adata, indices, batch_size, dataloader, data_loader_kwargs, own=own)
        check_whole("n_samples", n_samples, at_least=1)
        check_flag("give_mean", give_mean)
        if self.module.gene_likelihood != "poisson":
            with given_minibatches():
                return super().get_likelihood_parameters(
                    adata, indices, n_samples, give_mean, batch_size, dataloader, **data_loader_kwargs
                )
        mean = self.get_normalized_expression(
            adata,
            indices,
            library_size="latent",
            n_samples=n_samples,
            return_mean=give_mean,
            batch_size=batch_size,
            return_numpy=True,
            dataloader=dataloader,
            data_loader_kwargs=data_loader_kwargs,
        )
        return {"mean": mean}

    @torch.inference_mode()
    def get_feature_correlation_matrix(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        n_samples: int = 10,
        batch_size: int = 64,
        rna_size_factor: int = 1000,
        transform_batch: Sequence[int | str] | int | str | None = None,
        correlation_type: CorrelationType = "spearman",
        silent: bool = True,
    ) -> pd.DataFrame:
        """Return correlations between genes in samples that are free of Poisson noise, ``(G, G)``, as scVI does.

        Parameters
        ----------
        adata, indices, transform_batch, batch_size, silent
            As in :meth:`get_normalized_expression`.
        n_samples
            Samples per cell.
        rna_size_factor
            What the expression of a cell adds up to.
        correlation_type
            ``'spearman'`` or ``'pearson'``.

        Raises
        ------
        NotImplementedError
            If the likelihood is Poisson.
        """
        self._check_if_trained(warn=False)
        self._require_dispersions("correlations of denoised expression")
        check_cells(adata, indices, batch_size)
        check_choice("correlation_type", correlation_type, get_args(CorrelationType))
        self._check_batches("transform_batch", transform_batch)
        check_whole("n_samples", n_samples, at_least=1)
        check_whole("batch_size", batch_size, at_least=1)
        check_number("rna_size_factor", rna_size_factor, above=0)
        check_flag("silent", silent)
        adata = self._validate_anndata(adata)
        batches = batch_codes(self.get_anndata_manager(adata, required=True), transform_batch)
        total = np.zeros((len(self.gene_names), len(self.gene_names)))
        for batch in batches:
            samples = self._get_denoised_samples(
                adata=adata,
                indices=indices,
                n_samples=n_samples,
                batch_size=batch_size,
                rna_size_factor=rna_size_factor,
                transform_batch=batch,
            )  # (C, G, S), without S for one sample
            by_gene = np.moveaxis(samples, 1, 0).reshape(samples.shape[1], -1)
            total += np.corrcoef(rankdata(by_gene, axis=1) if correlation_type == "spearman" else by_gene)
        return pd.DataFrame(total / len(batches), index=self.gene_names, columns=self.gene_names)

    def get_latent_library_size(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        give_mean: bool = True,
        batch_size: int | None = None,
        dataloader: Iterable[dict[str, torch.Tensor]] | None = None,
        **data_loader_kwargs: Any,
    ) -> np.ndarray:
        """Return the observed library size of each cell, ``(C, 1)``; SCDual has no latent one.

        Parameters
        ----------
        adata, indices, batch_size, dataloader
            As in :meth:`get_normalized_expression`.
        give_mean
            Has to be False: there is no latent library size whose mean could be returned.
        **data_loader_kwargs
            Further arguments of the data loader.

        Raises
        ------
        RuntimeError
            If the model is not trained, or ``give_mean`` is True.
        """
        own = argument_names(self.get_latent_library_size)
        check_cells(adata, indices, batch_size, dataloader, data_loader_kwargs, own=own)
        check_flag("give_mean", give_mean)
        return super().get_latent_library_size(adata, indices, give_mean, batch_size, dataloader, **data_loader_kwargs)

    def _check_batches(self, name: str, batches: Any, dataloader: Any = None) -> None:
        """Raise an error unless these are batches of the model, one or several; None stands for a cell's own."""
        if batches is None:
            return
        if dataloader is not None:
            msg = f"`{name}` has no effect on minibatches in `dataloader`, which keep their batches; pass `adata` instead."
            raise ValueError(msg)
        known = [*self._state(REGISTRY_KEYS.BATCH_KEY)["categorical_mapping"], None]
        several = not isinstance(batches, str) and isinstance(batches, Iterable)
        for batch in list(batches) or [()] if several else [batches]:
            check_choice(name, batch, known)

    def _gene_positions(self, gene_list: Sequence[str] | None) -> np.ndarray:
        """Return positions of genes in the order of the data."""
        if gene_list is None:
            return np.arange(len(self.gene_names))
        genes = check_names("gene_list", gene_list)
        unknown = sorted(set(genes) - set(self.gene_names))
        if unknown:
            msg = (
                f"{len(unknown)} of {len(genes)} genes in `gene_list` are unknown to the model, e.g. {unknown[:3]}; "
                f"it knows {len(self.gene_names)} genes such as {self.gene_names[:3]}."
            )
            raise ValueError(msg)
        return np.flatnonzero(np.isin(self.gene_names, genes))
