"""Compare the decoded expression of groups of cells."""

from collections.abc import Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scvi import REGISTRY_KEYS
from scvi.data import AnnDataManager

from scdual.data._rows import is_in_memory, read_rows
from scdual.model._expression import ExpressionMixin
from scdual.model._scvi import compare_groups, raw_count_properties


class DifferentialExpressionMixin(ExpressionMixin):
    """The method of SCDual that compares groups, for AnnData and MuData."""

    def differential_expression(  # noqa: PLR0913 - the signature of scvi-tools
        self,
        adata: AnnData | MuData | None = None,
        groupby: str | None = None,
        group1: str | Sequence[str] | None = None,
        group2: str | None = None,
        idx1: Sequence[int] | Sequence[bool] | str | None = None,
        idx2: Sequence[int] | Sequence[bool] | str | None = None,
        mode: Literal["vanilla", "change"] = "vanilla",
        delta: float = 0.25,
        batch_size: int | None = None,
        all_stats: bool = True,
        batch_correction: bool = False,
        batchid1: Sequence[str] | None = None,
        batchid2: Sequence[str] | None = None,
        fdr_target: float = 0.05,
        silent: bool = False,
        weights: Literal["uniform", "importance"] | None = "uniform",
        filter_outlier_cells: bool = False,
        importance_weighting_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> pd.DataFrame:
        """Compare the decoded expression of two groups of cells, as scVI does.

        Parameters
        ----------
        adata
            Data with the genes of the model; None takes the data it was built with.
        groupby
            Column of ``obs`` with the groups.
        group1, group2
            Groups to compare; None compares each group, or ``group1``, with the other cells.
        idx1, idx2
            Cells to compare, in place of groups: positions, a mask, or a query of ``obs``.
        mode
            ``'vanilla'`` tests which group expresses more :cite:p:`Lopez18`, ``'change'`` whether the log fold change
            exceeds ``delta`` :cite:p:`Boyeau19`.
        delta
            Smallest log fold change that counts in mode ``'change'``.
        batch_size
            Cells per minibatch.
        all_stats
            Whether to add means and shares of the raw counts.
        batch_correction
            Whether to decode all cells in the same batches: those of ``batchid1`` and ``batchid2``.
        batchid1, batchid2
            Batches of the two groups; None takes all.
        fdr_target
            False discovery rate of the column ``is_de_fdr_...`` in mode ``'change'``.
        silent
            Whether to hide the progress bar.
        weights
            How latent states are drawn: uniformly, or with importance weights.
        filter_outlier_cells
            Whether to leave out cells whose latent state lies far from the others of their group.
        importance_weighting_kwargs
            Arguments of :meth:`get_importance_weights`.
        **kwargs
            Arguments of ``scvi.model.base.DifferentialComputation.get_bayes_factors``.

        Returns
        -------
        Table with one row per gene and comparison.

        Raises
        ------
        KeyError
            If ``groupby`` is no column of ``obs``.
        ValueError
            If a group is unknown, or neither groups nor cells are named.
        """
        self._check_if_trained(warn=False)
        adata = self._validate_anndata(adata)
        if idx1 is None:
            _check_groups(adata.obs, groupby, group1, group2)
        model_fn = partial(
            self.get_normalized_expression,
            return_numpy=True,
            n_samples=1,
            batch_size=batch_size,
            weights=weights,
            **(importance_weighting_kwargs or {}),
        )
        kept = adata.obs.columns
        try:
            return compare_groups(
                self.get_anndata_manager(adata, required=True),
                model_fn,
                self.get_latent_representation if filter_outlier_cells else None,
                groupby,
                group1,
                group2,
                idx1,
                idx2,
                all_stats,
                _raw_properties,
                self.gene_names,
                mode,
                batchid1,
                batchid2,
                delta,
                batch_correction,
                fdr_target,
                silent,
                **kwargs,
            )
        finally:  # scvi-tools leaves columns behind
            for column in adata.obs.columns.difference(kept):
                del adata.obs[column]


def _raw_properties(manager: AnnDataManager, *cells: Any) -> dict[str, np.ndarray]:
    """Return means and shares of the raw counts of two groups; scvi-tools cannot do sums on disk."""
    counts = manager.get_from_registry(REGISTRY_KEYS.X_KEY)
    if not is_in_memory(counts):
        counts = read_rows(counts, slice(None))
    return raw_count_properties(SimpleNamespace(adata=manager.adata, get_from_registry=lambda _: counts), *cells)


def _check_groups(
    obs: pd.DataFrame, groupby: str | None, group1: str | Sequence[str] | None, group2: str | None
) -> None:
    if groupby is None:
        msg = f"Name the groups to compare with `groupby`, one of {list(obs.columns)}, or the cells with `idx1`."
        raise ValueError(msg)
    if groupby not in obs:
        msg = f"`groupby={groupby!r}` is not a column of `obs`, which has {list(obs.columns)}; name one of those."
        raise KeyError(msg)
    wanted = [group1] if group1 is None or isinstance(group1, str) else list(group1)
    groups = set(obs[groupby])
    unknown = [name for name in (*wanted, group2) if name is not None and name not in groups]
    if unknown:
        msg = f"{unknown} are not among the groups of `obs[{groupby!r}]`, which are {sorted(map(str, groups))}."
        raise ValueError(msg)
