"""The scvi field of the counts, strict about genes and values.

Dimension key
    C  cells      G  genes
"""

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from pandas.api.types import is_numeric_dtype
from scvi.data.fields import LayerField, MuDataWrapper, NumericalJointObsField, NumericalObsField

from scdual._warning import warn
from scdual.data._categories import check_column
from scdual.data._cells import check_names
from scdual.data._counts import check_counts

_N_EXAMPLES = 3
_CONSTANT = 1e-12  # a spread below this share of the largest value is one of rounding


class GeneLayerField(LayerField):
    """A count layer whose genes and values are checked.

    scvi-tools compares only the number of genes when new data meet a trained model. Here other genes, or the same in
    another order, are an error, as are duplicated gene names and values that are not finite or negative.

    Parameters
    ----------
    registry_key
        Key of the field in the data registry.
    layer
        Layer that holds the counts; None takes ``X``.
    require_counts
        Whether values that are no integers are an error.
    """

    def __init__(self, registry_key: str, layer: str | None, *, require_counts: bool = True) -> None:
        super().__init__(registry_key, layer, is_count_data=True)
        self._require_counts = require_counts

    def validate_field(self, adata: AnnData) -> None:
        """Check names, layout and values; scvi-tools looks at 20 values."""
        layers = [key for key in adata.layers if key is not None]  # anndata 0.13 lists X under None
        if self.attr_key is not None and self.attr_key not in layers:
            msg = f"Layer {self.attr_key!r} is not in `adata.layers`, which holds {layers}; name one of those."
            raise KeyError(msg)
        check_names(adata.var_names, what="gene", where="var_names")
        counts = adata.X if self.attr_key is None else adata.layers[self.attr_key]
        where = "adata.X" if self.attr_key is None else f"adata.layers[{self.attr_key!r}]"
        check_counts(counts, where, layers=layers, require_counts=self._require_counts)

    def register_field(self, adata: AnnData) -> dict[str, Any]:
        """Register the field; the gene names must be unique."""
        check_unique(adata.var_names)
        return super().register_field(adata)

    def transfer_field(self, state_registry: dict[str, Any], adata_target: AnnData, **kwargs: Any) -> dict[str, Any]:
        """Register the field of new data, whose genes must be those of the model in the same order."""
        check_unique(adata_target.var_names)
        check_same_genes(np.asarray(state_registry[self.COLUMN_NAMES_KEY]), np.asarray(adata_target.var_names))
        return super().transfer_field(state_registry, adata_target, **kwargs)


def check_unique(names: pd.Index) -> None:
    """Raise a ValueError if names of genes repeat."""
    if not names.is_unique:
        repeated = list(names[names.duplicated()].unique())
        msg = (
            f"{len(repeated)} gene names occur more than once, e.g. {repeated[:_N_EXAMPLES]}, but a network needs "
            "unique names; call `adata.var_names_make_unique()` or join the columns first."
        )
        raise ValueError(msg)


def check_same_genes(expected: np.ndarray, found: np.ndarray) -> None:
    """Raise a ValueError unless two lists of gene names, each ``(G,)``, are equal and in the same order."""
    if np.array_equal(expected, found):
        return
    missing, extra = np.setdiff1d(expected, found), np.setdiff1d(found, expected)
    unknown = f"{len(extra)} are unknown to it (e.g. {list(extra[:_N_EXAMPLES])})" if len(extra) else ""
    cure = "use `adata[:, model.gene_names].copy()`"
    if len(missing):
        problem = (
            f"{len(missing)} of the model's {len(expected)} genes are missing (e.g. {list(missing[:_N_EXAMPLES])})"
        )
        problem += f" and {unknown}" if unknown else ""
        leaves_out = "leaves those out and " if unknown else ""
        cure = f"`SCDual.prepare_query_anndata(adata, model)` {leaves_out}counts the missing as not expressed"
    elif unknown:
        problem = f"all of the model's {len(expected)} genes are there, but {unknown}"
    else:
        problem = f"the model's {len(expected)} genes are in another order"
    msg = f"In the new data {problem}; {cure}, or train a model on these genes."
    raise ValueError(msg)


class ScaledJointObsField(NumericalJointObsField):
    """Continuous covariates, finite and in whatever unit: the model sees them with mean 0 and standard deviation 1.

    Mean and standard deviation are those of the data on which a model is built, and are kept for new data. Registries
    of older versions have none, and then covariates stay as they are.
    """

    MEAN_KEY, STD_KEY = "mean", "std"

    @property
    def columns(self) -> list[str]:
        """Columns of ``obs`` that are read."""
        return list(self.attr_keys)

    def validate_field(self, adata: AnnData) -> None:
        """Check that the columns exist and hold finite numbers."""
        for key in self.columns:
            n_bad = int((~np.isfinite(_numbers(adata, key))).sum())
            if n_bad:
                msg = f"Covariate {key!r} has {n_bad} NaN or infinite values in `obs`; fill them or drop those cells."
                raise ValueError(msg)

    def register_field(self, adata: AnnData) -> dict[str, Any]:
        """Write the covariates, standardised."""
        self.validate_field(adata)
        scales = [_mean_and_std(_numbers(adata, key)) for key in self.columns]
        constant = [key for key, (_, std) in zip(self.columns, scales, strict=True) if not std]
        if constant:
            warn(f"Covariates {constant} are the same in all cells, so nothing is learnt about them; leave them out.")
        return self._write(adata, [mean for mean, _ in scales], [std for _, std in scales])

    def transfer_field(self, state_registry: dict[str, Any], adata_target: AnnData, **kwargs: Any) -> dict[str, Any]:
        """Write the covariates of new data on the scale of the model."""
        self.validate_field(adata_target)
        n = len(self.columns)
        return self._write(
            adata_target, state_registry.get(self.MEAN_KEY, [0.0] * n), state_registry.get(self.STD_KEY, [1.0] * n)
        )

    def _write(self, adata: AnnData, mean: list[float], std: list[float]) -> dict[str, Any]:
        scaled = {
            key: (_numbers(adata, key) - mean[i]) / std[i] if std[i] else np.zeros(adata.n_obs)
            for i, key in enumerate(self.columns)
        }
        adata.obsm[self.attr_key] = pd.DataFrame(scaled, index=adata.obs_names)
        return {self.COLUMNS_KEY: np.array(self.columns, dtype=object), self.MEAN_KEY: mean, self.STD_KEY: std}


class PositiveObsField(NumericalObsField):
    """A size factor, which must be positive, because its logarithm is taken."""

    @property
    def columns(self) -> list[str]:
        """Columns of ``obs`` that are read."""
        return [self.attr_key]

    def validate_field(self, adata: AnnData) -> None:
        """Check that the column exists and holds finite numbers above zero."""
        values = _numbers(adata, self.attr_key)
        n_bad = int((~(np.isfinite(values) & (values > 0))).sum())
        if n_bad:
            msg = (
                f"Size factor {self.attr_key!r} has {n_bad} values in `obs` that are not finite and above 0; "
                "correct them or drop those cells."
            )
            raise ValueError(msg)


def _mean_and_std(values: np.ndarray) -> tuple[float, float]:
    """Return mean and standard deviation, which is 0 if the values differ by rounding alone."""
    largest = float(np.abs(values).max()) or 1.0
    unit = values / largest  # squares of large values would overflow
    mean, std = float(unit.mean()), float(unit.std())
    return mean * largest, std * largest if std > _CONSTANT else 0.0


def _numbers(adata: AnnData, key: str) -> np.ndarray:
    check_column(adata.obs, key)
    column = adata.obs[key]
    if not is_numeric_dtype(column):
        msg = f"Column {key!r} of `obs` is of type {column.dtype}, but numbers are expected; convert or leave it out."
        raise ValueError(msg)
    return column.to_numpy(dtype=float, na_value=np.nan)


MuDataGeneLayerField = MuDataWrapper(GeneLayerField)
MuDataScaledJointObsField = MuDataWrapper(ScaledJointObsField)
MuDataPositiveObsField = MuDataWrapper(PositiveObsField)
