"""Compare the decoded expression of groups of cells."""

import inspect
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scvi import REGISTRY_KEYS
from scvi.data import AnnDataManager
from scvi.model.base import DifferentialComputation

from scdual._checks import (
    argument_names,
    check_choice,
    check_column,
    check_flag,
    check_keywords,
    check_number,
    check_type,
    check_whole,
    did_you_mean,
    listed,
    shown,
)
from scdual._types import CellWeights, DifferentialMode
from scdual.data._rows import is_in_memory, read_rows
from scdual.model._cells import cell_positions, check_cells, given_minibatches
from scdual.model._expression import ExpressionMixin
from scdual.model._importance import check_weights
from scdual.model._progress import drawn_on_stderr
from scdual.model._scvi import compare_groups, raw_count_properties

_BAYES_FACTOR_CHECKS: dict[str, Callable[[str, Any], None]] = {
    **dict.fromkeys(("n_samples_overall", "m_permutation"), partial(check_whole, at_least=1)),
    "use_permutation": check_flag,
    "pseudocounts": partial(check_number, at_least=0, optional=True),
    "threshold_counts": partial(check_number, at_least=0),
    "test_mode": partial(check_choice, choices=("two", "three")),
}


class DifferentialExpressionMixin(ExpressionMixin):
    """The method of SCDual that compares groups, for AnnData and MuData."""

    def differential_expression(  # noqa: PLR0913 - the signature of scvi-tools
        self,
        adata: AnnData | MuData | None = None,
        groupby: str | None = None,
        group1: Any = None,
        group2: Any = None,
        idx1: Sequence[int] | Sequence[bool] | str | None = None,
        idx2: Sequence[int] | Sequence[bool] | str | None = None,
        mode: DifferentialMode = "vanilla",
        delta: float = 0.25,
        batch_size: int | None = None,
        all_stats: bool = True,
        batch_correction: bool = False,
        batchid1: Sequence[str] | None = None,
        batchid2: Sequence[str] | None = None,
        fdr_target: float = 0.05,
        silent: bool = False,
        weights: CellWeights | None = "uniform",
        filter_outlier_cells: bool = False,
        importance_weighting_kwargs: dict[str, Any] | None = None,
        dataloader: Iterable[dict[str, torch.Tensor]] | None = None,
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
            Groups to compare, as they stand in the column: text, a number, True or False. ``group1`` may be a list. None
            compares each group, or ``group1``, with the other cells.
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
        dataloader
            Minibatches of a model without data, from scvi-tools 1.5 on; groups are batches, labels or covariates then.
        **kwargs
            Arguments of ``scvi.model.base.DifferentialComputation.get_bayes_factors``.

        Returns
        -------
        Table with one row per gene and comparison.

        Raises
        ------
        KeyError
            If ``groupby`` is no column of ``obs``.
        TypeError, ValueError
            If a group or batch is unknown, neither groups nor cells are named or both, groups of cells overlap, or another
            argument is unknown or wrong.
        NotImplementedError
            If minibatches are given and scvi-tools is older than 1.5.
        """
        self._check_if_trained(warn=False)
        check_cells(adata, batch_size=batch_size, dataloader=dataloader)
        check_choice("mode", mode, get_args(DifferentialMode))
        check_number("delta", delta, at_least=0, optional=True)
        check_number("fdr_target", fdr_target, above=0, below=1)
        flags = {
            "all_stats": all_stats,
            "batch_correction": batch_correction,
            "silent": silent,
            "filter_outlier_cells": filter_outlier_cells,
        }
        for name, flag in flags.items():
            check_flag(name, flag)
        check_type("importance_weighting_kwargs", importance_weighting_kwargs, Mapping, optional=True)
        check_weights(weights, importance_weighting_kwargs)
        _check_bayes_factors(kwargs, own=argument_names(self.differential_expression))
        for name, batches in {"batchid1": batchid1, "batchid2": batchid2}.items():
            self._check_batches(name, batches)
            if batches is not None and not batch_correction:
                msg = f"`{name}` needs `batch_correction=True`, which decodes the cells in these batches; pass both, or neither."
                raise ValueError(msg)
        if dataloader is not None:
            if batch_correction or filter_outlier_cells:
                msg = "`batch_correction` and `filter_outlier_cells` are not possible with `dataloader`; pass `adata` instead."
                raise ValueError(msg)
            named = {"groupby": groupby, "group1": group1, "group2": group2, "idx1": idx1, "idx2": idx2}
            how = {"mode": mode, "delta": delta, "all_stats": all_stats, "fdr_target": fdr_target, "silent": silent}
            more = {"weights": weights, "importance_weighting_kwargs": importance_weighting_kwargs}
            return self._compare_minibatches(dataloader, **named, **how, **more, **kwargs)
        adata = self._validate_anndata(adata)
        first, second = None, None
        if idx1 is None:
            group1 = _groups_to_compare(adata.obs, groupby, group1, group2, idx2)
        else:
            first, second = _chosen_cells(adata, idx1, idx2, groups=(groupby, group1, group2))
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
            with drawn_on_stderr(silent) as is_silent:
                return compare_groups(
                    self.get_anndata_manager(adata, required=True),
                    model_fn,
                    self.get_latent_representation if filter_outlier_cells else None,
                    groupby,
                    group1,
                    group2,
                    first,
                    second,
                    all_stats,
                    _raw_properties,
                    self.gene_names,
                    mode,
                    batchid1,
                    batchid2,
                    delta,
                    batch_correction,
                    fdr_target,
                    is_silent,
                    **kwargs,
                )
        finally:  # scvi-tools leaves columns behind
            for column in adata.obs.columns.difference(kept):
                del adata.obs[column]

    def _compare_minibatches(self, dataloader: Iterable[dict[str, torch.Tensor]], **kwargs: Any) -> pd.DataFrame:
        """Compare groups of cells in minibatches, as scvi-tools does from 1.5 on for models without data."""
        method = super().differential_expression
        if "dataloader" not in inspect.signature(method).parameters:
            msg = "`dataloader` needs scvi-tools 1.5 or newer; pass `adata` instead, or install it."
            raise NotImplementedError(msg)
        if self.adata is not None:
            msg = "`dataloader` is for models built without data, and this one has some; pass `adata` instead."
            raise ValueError(msg)
        with given_minibatches(), drawn_on_stderr(kwargs.pop("silent")) as is_silent:
            return method(dataloader=dataloader, silent=is_silent, **kwargs)


def _raw_properties(manager: AnnDataManager, *cells: Any) -> dict[str, np.ndarray]:
    """Return means and shares of the raw counts of two groups; scvi-tools cannot do sums on disk."""
    counts = manager.get_from_registry(REGISTRY_KEYS.X_KEY)
    if not is_in_memory(counts):
        counts = read_rows(counts, slice(None))
    return raw_count_properties(SimpleNamespace(adata=manager.adata, get_from_registry=lambda _: counts), *cells)


def _groups_to_compare(obs: pd.DataFrame, groupby: str | None, group1: Any, group2: Any, idx2: Any) -> Any:
    """Return ``group1``, or all groups that have cells."""
    if idx2 is not None:
        msg = "`idx2` needs `idx1`, the cells to compare it with; pass both, or name groups with `groupby`."
        raise ValueError(msg)
    if groupby is None:
        msg = f"Name the groups to compare with `groupby`, one of {listed(obs.columns)}, or the cells with `idx1`."
        raise ValueError(msg)
    check_column("groupby", groupby, obs.columns)
    groups = obs[groupby].astype("category").cat.remove_unused_categories().cat.categories
    for name, wanted in {"group1": group1, "group2": group2}.items():
        several = name == "group1" and isinstance(wanted, Iterable) and not isinstance(wanted, str)
        for group in list(wanted) or [()] if several else [wanted]:
            if group is not None and not _is_group(group, groups):
                advice = did_you_mean(group, groups) or "Name one of those."
                msg = f"`{name}` is {shown(group)}, which is not among the groups of `obs[{groupby!r}]`: {listed(groups)}. {advice}"
                raise ValueError(msg)
    if len(groups) < 2:
        msg = f"`groupby={groupby!r}` has {len(groups)} groups, expected 2 or more to compare. Name another column."
        raise ValueError(msg)
    if group2 is not None and isinstance(group1, Hashable) and group1 == group2:
        msg = f"`group1` and `group2` are both {shown(group1)}, expected two groups. Leave out `group2` to compare with the rest."
        raise ValueError(msg)
    return groups.tolist() if group1 is None else group1


def _is_group(group: Any, groups: pd.Index) -> bool:
    """Return whether cells have this value; text is never a number, and True is never 1."""
    return isinstance(group, Hashable) and any(
        group == known and isinstance(group, bool | np.bool_) == isinstance(known, bool | np.bool_) for known in groups
    )


def _chosen_cells(
    adata: AnnData | MuData, idx1: Any, idx2: Any, *, groups: tuple[Any, ...]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the cells of ``idx1`` and ``idx2`` as positions."""
    if any(value is not None for value in groups):
        msg = "`idx1` names cells in place of `groupby`, `group1` and `group2`; pass either cells or groups."
        raise ValueError(msg)
    first = _positions("idx1", idx1, adata)
    second = None if idx2 is None else _positions("idx2", idx2, adata)
    shared = first[:0] if second is None else np.intersect1d(first, second)
    if len(shared):
        msg = f"{len(shared)} cells are in both `idx1` and `idx2`, expected none. Leave them out of one."
        raise ValueError(msg)
    return first, second


def _positions(name: str, chosen: Any, adata: AnnData | MuData) -> np.ndarray:
    """Return positions of cells from positions, a mask, or a query of ``obs``."""
    if isinstance(chosen, str):
        try:
            chosen = adata.obs_names.isin(adata.obs.query(chosen).index)
        except (ValueError, KeyError, SyntaxError, NameError, TypeError) as error:
            msg = (
                f"`{name}` is {shown(chosen)}, which is no valid query of `obs` ({error}); write for example "
                f"\"{adata.obs.columns[0] if len(adata.obs.columns) else 'column'} == 'value'\"."
            )
            raise ValueError(msg) from error
    return cell_positions(adata, chosen, name=name)


def _check_bayes_factors(given: Mapping[str, Any], *, own: list[str]) -> None:
    """Raise an error if a further argument is none of ``get_bayes_factors``, or wrong."""
    taken = {"self", "idx1", "idx2", "mode", "batchid1", "batchid2", "use_observed_batches", "delta"}
    known = set(inspect.signature(DifferentialComputation.get_bayes_factors).parameters) - taken
    check_keywords(given, sorted(known | {"subset_idx"}), where="`differential_expression`", own=own)
    for name, value in given.items():
        if name in _BAYES_FACTOR_CHECKS:
            _BAYES_FACTOR_CHECKS[name](name, value)
