"""The scvi fields of batches, labels and categorical covariates, strict about their values.

Dimension key
    C  cells
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scvi.data.fields import CategoricalJointObsField, CategoricalObsField, MuDataWrapper

from scdual._checks import did_you_mean, listed, users_columns
from scdual._warning import warn

_N_EXAMPLES = 3
_FEW_CELLS = 3
_PLAIN = (str, int, float, np.number, np.bool_)


class CategoryField(CategoricalObsField):
    """A column of categories: those that no cell has do not count, and cells without one are an error."""

    @property
    def columns(self) -> list[str]:
        """Columns of ``obs`` that are read."""
        return [] if self.is_default else [self._original_attr_key]

    def validate_field(self, adata: AnnData) -> None:
        """Check that the column exists, and that every cell has a category."""
        for key in self.columns:
            check_categories(adata.obs, key)

    def register_field(self, adata: AnnData) -> dict[str, Any]:
        """Write the code of each cell's category; codes follow the order of the categories."""
        if self.is_default:
            self._setup_default_attr(adata)
            return self._state(np.zeros(1, int))
        self.validate_field(adata)
        column = adata.obs[self._original_attr_key]
        categories = used_categories(column)
        _warn_of_few(column, categories)
        return self._write(adata, categories)

    def transfer_field(
        self, state_registry: dict[str, Any], adata_target: AnnData, extend_categories: bool = False, **kwargs: Any
    ) -> dict[str, Any]:
        """Write the codes of new data, whose categories have to be known, or are added if they may."""
        known = np.asarray(state_registry[self.CATEGORICAL_MAPPING_KEY])
        if self.is_default:
            self._setup_default_attr(adata_target)
            return self._state(known)
        self.validate_field(adata_target)
        column = adata_target.obs[self._original_attr_key]
        return self._write(adata_target, known_and_new(column, known, extend=extend_categories))

    def get_summary_stats(self, state_registry: dict[str, Any]) -> dict[str, int]:
        """Return the number of categories."""
        return {self.count_stat_key: len(state_registry[self.CATEGORICAL_MAPPING_KEY])}

    def _write(self, adata: AnnData, categories: np.ndarray) -> dict[str, Any]:
        adata.obs[self.attr_key] = codes_of(adata.obs[self._original_attr_key], categories)
        return self._state(categories)

    def _state(self, categories: np.ndarray) -> dict[str, Any]:
        return {self.CATEGORICAL_MAPPING_KEY: categories, self.ORIGINAL_ATTR_KEY: self._original_attr_key}


class LabelField(CategoryField):
    """Labels of cells, of which new data may have none or others.

    The label of a cell without one has a code behind those of all labels, which is where ``unlabeled_category`` stands
    if there is one.

    Parameters
    ----------
    registry_key, obs_key
        As in :class:`CategoryField`.
    unlabeled_category
        Label that stands for cells without one.
    """

    UNLABELED_CATEGORY = "unlabeled_category"

    def __init__(self, registry_key: str, obs_key: str | None, unlabeled_category: Any = None) -> None:
        super().__init__(registry_key, obs_key)
        self._unlabeled = unlabeled_category

    def register_field(self, adata: AnnData) -> dict[str, Any]:
        """Write the code of each cell's label."""
        state = super().register_field(adata)
        column = adata.obs[self._original_attr_key] if self._unlabeled is not None else None
        if column is not None and not (column == self._unlabeled).any():  # a reference may be fully labelled
            meant = did_you_mean(self._unlabeled, used_categories(column))
            if meant:
                warn(
                    f"No cell has the label {self._unlabeled!r} that `unlabeled_category` names, so all count as labelled. {meant}"
                )
        return state

    def transfer_field(
        self,
        state_registry: dict[str, Any],
        adata_target: AnnData,
        extend_categories: bool = False,
        allow_missing_labels: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Write the codes of new data; cells whose label is missing or unknown count as unlabelled."""
        known = np.asarray(state_registry[self.CATEGORICAL_MAPPING_KEY])
        if self.is_default:
            return super().transfer_field(state_registry, adata_target)
        if self._original_attr_key not in adata_target.obs:
            warn(f"Missing labels key {self._original_attr_key}: all cells of the new data count as unlabelled.")
            column = pd.Series(index=adata_target.obs_names, dtype=object)
        else:
            column = adata_target.obs[self._original_attr_key]
        if extend_categories:
            known = self._with_unlabeled_last(known_and_new(column, known, extend=True))
        codes = codes_of(column, known)
        unknown = pd.unique(column[(codes < 0) & column.notna().to_numpy()])
        if len(unknown):
            warn(
                f"{len(unknown)} labels of the new data are unknown to the model, e.g. {_examples(unknown)}; "
                f"their cells count as unlabelled. It knows {_examples(known)}."
            )
        unlabeled = len(known) if self._unlabeled is None else len(known) - 1
        adata_target.obs[self.attr_key] = np.where(codes < 0, unlabeled, codes)
        return self._state(known)

    def _write(self, adata: AnnData, categories: np.ndarray) -> dict[str, Any]:
        return super()._write(adata, self._with_unlabeled_last(categories))

    def _with_unlabeled_last(self, categories: np.ndarray) -> np.ndarray:
        if self._unlabeled is None:
            return categories
        is_unlabeled = categories == self._unlabeled
        last = categories[is_unlabeled] if is_unlabeled.any() else [self._unlabeled]  # 1 and 1.0 are the same label
        return pd.Index([*categories[~is_unlabeled], *last]).to_numpy()

    def _state(self, categories: np.ndarray) -> dict[str, Any]:
        unlabeled = {} if self._unlabeled is None else {self.UNLABELED_CATEGORY: self._unlabeled}
        return super()._state(categories) | unlabeled


class JointCategoryField(CategoricalJointObsField):
    """Several columns of categories, each as strict as :class:`CategoryField`."""

    @property
    def columns(self) -> list[str]:
        """Columns of ``obs`` that are read."""
        return list(self.attr_keys)

    def validate_field(self, adata: AnnData) -> None:
        """Check that the columns exist, and that every cell has a category in each."""
        for key in self.columns:
            check_categories(adata.obs, key)

    def register_field(self, adata: AnnData) -> dict[str, Any]:
        """Write the codes of each cell's categories."""
        self.validate_field(adata)
        return self._write(adata, {key: used_categories(adata.obs[key]) for key in self.columns})

    def transfer_field(
        self, state_registry: dict[str, Any], adata_target: AnnData, extend_categories: bool = False, **kwargs: Any
    ) -> dict[str, Any]:
        """Write the codes of new data, whose categories have to be known, or are added if they may."""
        self.validate_field(adata_target)
        known = state_registry[self.MAPPINGS_KEY]
        return self._write(
            adata_target,
            {
                key: known_and_new(adata_target.obs[key], np.asarray(known[key]), extend=extend_categories)
                for key in self.columns
            },
        )

    def _write(self, adata: AnnData, categories: dict[str, np.ndarray]) -> dict[str, Any]:
        codes = {key: codes_of(adata.obs[key], known) for key, known in categories.items()}
        adata.obsm[self.attr_key] = pd.DataFrame(codes, index=adata.obs_names)
        return {
            self.MAPPINGS_KEY: categories,
            self.FIELD_KEYS_KEY: self.columns,
            self.N_CATS_PER_KEY: [len(known) for known in categories.values()],
        }


def check_column(obs: pd.DataFrame, key: str) -> None:
    """Raise a KeyError unless a column exists."""
    if key not in obs:
        msg = f"{key!r} is not a column of `obs`, which has {listed(users_columns(obs.columns))}; name one of those."
        raise KeyError(msg)


def check_categories(obs: pd.DataFrame, key: str) -> None:
    """Raise an error unless a column exists and has a value, of one type, for every cell."""
    check_column(obs, key)
    n_missing = int(obs[key].isna().sum())
    if n_missing:
        msg = (
            f"Column {key!r} of `obs` has no value for {n_missing} of {len(obs)} cells; fill it, e.g. "
            f"`adata.obs[{key!r}] = adata.obs[{key!r}].astype(object).fillna('unknown')`, or drop those cells."
        )
        raise ValueError(msg)
    check_no_measurement(obs[key], f"Column {key!r} of `obs`")
    types = {type(value) for value in used_categories(obs[key])}
    if len(types) > 1 or not all(issubclass(kind, _PLAIN) for kind in types):
        msg = (
            f"Column {key!r} of `obs` holds values of type {' and '.join(sorted(kind.__name__ for kind in types))}, expected "
            f"text, or numbers of one type; convert it: `adata.obs[{key!r}] = adata.obs[{key!r}].astype(str)`."
        )
        raise ValueError(msg)


def check_no_measurement(column: pd.Series, what: str) -> None:
    """Raise a ValueError if a column that should hold categories has fractions that hardly repeat."""
    if not pd.api.types.is_float_dtype(column.dtype):
        return
    values = column.dropna().to_numpy()
    fractions, n_different = values[values % 1 != 0], len(np.unique(values))
    if len(fractions) and n_different > len(values) / 2:
        msg = (
            f"{what} holds {n_different} different numbers in {len(values)} cells, e.g. {fractions[0]:g}, expected "
            "categories; name it among `continuous_covariate_keys`, or make groups of it, e.g. with `pandas.cut`."
        )
        raise ValueError(msg)


def used_categories(column: pd.Series) -> np.ndarray:
    """Return the categories that at least one cell has, in their order."""
    return column.astype("category").cat.remove_unused_categories().cat.categories.to_numpy(copy=True)


def codes_of(column: pd.Series, categories: np.ndarray) -> np.ndarray:
    """Return the position of each value among the categories, shape ``(C,)``; -1 if it is none of them."""
    as_category = column.astype("category")
    positions = pd.Index(categories).get_indexer(as_category.cat.categories)
    # not of 64 bits: a table of those would reach torch without a copy, and pandas 3 lends only what cannot be written to
    return np.append(positions, -1).astype(np.int32)[as_category.cat.codes]


def known_and_new(column: pd.Series, known: np.ndarray, *, extend: bool) -> np.ndarray:
    """Return the known categories and, if they may be added, those of a column that are new.

    Parameters
    ----------
    column
        Column of new data.
    known
        Categories that the model knows.
    extend
        Whether there may be new ones.

    Raises
    ------
    ValueError
        If there are new ones that may not be, or that differ from known ones by their type alone.
    """
    found = used_categories(column)
    new = found[pd.Index(known).get_indexer(found) < 0]
    as_text = {str(value): value for value in known}
    retyped = [value for value in new if str(value) in as_text]
    if retyped:
        before, now = np.array([as_text[str(retyped[0])]]).item(), np.array([retyped[0]]).item()
        msg = (
            f"Column {column.name!r} of the new data holds {now!r} ({type(now).__name__}) where the model knows {before!r} "
            f"({type(before).__name__}); give it the type it had: `.astype({type(before).__name__})`."
        )
        raise ValueError(msg)
    if len(new) and not extend:
        msg = (
            f"{len(new)} categories in column {column.name!r} of the new data are unknown to the model, e.g. "
            f"{_examples(new)}; it knows {_examples(known)}. Rename them, or map the data with `SCDual.load_query_data`."
        )
        raise ValueError(msg)
    return np.concatenate([known, new]) if len(new) else known


def _warn_of_few(column: pd.Series, categories: np.ndarray) -> None:
    n_cells = np.bincount(codes_of(column, categories), minlength=len(categories))
    few = categories[n_cells < _FEW_CELLS]
    if len(categories) > 1 and len(few):
        warn(
            f"{len(few)} categories of {column.name!r} have fewer than {_FEW_CELLS} cells, e.g. {_examples(few)}; "
            "what is learnt about them is not to be trusted, so join or drop them."
        )


def _examples(values: Sequence[Any] | np.ndarray) -> list[str]:
    return [str(value) for value in values[:_N_EXAMPLES]]


MuDataCategoryField = MuDataWrapper(CategoryField)
MuDataLabelField = MuDataWrapper(LabelField)
MuDataJointCategoryField = MuDataWrapper(JointCategoryField)
