"""The scvi field of the counts, strict about genes and values.

Dimension key
    C  cells      G  genes
"""

from typing import Any

import numpy as np
from anndata import AnnData
from pandas.api.types import is_numeric_dtype
from scipy import sparse
from scvi.data.fields import LayerField, MuDataWrapper, NumericalJointObsField, NumericalObsField

_N_EXAMPLES = 3


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
    """

    def __init__(self, registry_key: str, layer: str | None) -> None:
        super().__init__(registry_key, layer, is_count_data=True)

    def validate_field(self, adata: AnnData) -> None:
        """Check layout and values before scvi-tools looks at them."""
        if self.attr_key is not None and self.attr_key not in adata.layers:
            msg = f"Layer {self.attr_key!r} is not in `adata.layers`, which holds {list(adata.layers)}; name one of those."
            raise KeyError(msg)
        self._check_values(self.get_field_data(adata))
        super().validate_field(adata)

    def register_field(self, adata: AnnData) -> dict[str, Any]:
        """Register the field; the gene names must be unique."""
        names = adata.var_names
        if not names.is_unique:
            repeated = list(names[names.duplicated()].unique())
            msg = (
                f"{len(repeated)} gene names occur more than once, e.g. {repeated[:_N_EXAMPLES]}, but a network needs "
                "unique names; call `adata.var_names_make_unique()` or join the columns first."
            )
            raise ValueError(msg)
        return super().register_field(adata)

    def transfer_field(self, state_registry: dict[str, Any], adata_target: AnnData, **kwargs: Any) -> dict[str, Any]:
        """Register the field of new data, whose genes must be those of the model in the same order."""
        check_same_genes(np.asarray(state_registry[self.COLUMN_NAMES_KEY]), np.asarray(adata_target.var_names))
        return super().transfer_field(state_registry, adata_target, **kwargs)

    def _check_values(self, counts: Any) -> None:
        where = "adata.X" if self.attr_key is None else f"adata.layers[{self.attr_key!r}]"
        if isinstance(counts, sparse.sparray):
            msg = (
                f"{where} is a {type(counts).__name__}, which scvi-tools cannot read; "
                f"convert it first: `{where} = scipy.sparse.csr_matrix({where})`."
            )
            raise TypeError(msg)
        values = counts.data if sparse.issparse(counts) else counts
        if not isinstance(values, np.ndarray):
            return  # backed on disk: scvi-tools reads it minibatch by minibatch
        n_bad = int(values.size - np.isfinite(values).sum())
        if n_bad:
            msg = f"{where} holds {n_bad} NaN or infinite values; raw counts are expected, so remove or refill them."
            raise ValueError(msg)
        if values.size and values.min() < 0:
            msg = f"{where} holds negative values (down to {values.min():g}); give raw counts, not scaled data."
            raise ValueError(msg)


def check_same_genes(expected: np.ndarray, found: np.ndarray) -> None:
    """Raise a ValueError unless two lists of gene names, each ``(G,)``, are equal and in the same order."""
    if np.array_equal(expected, found):
        return
    missing, extra = np.setdiff1d(expected, found), np.setdiff1d(found, expected)
    if len(missing) or len(extra):
        problem = (
            f"{len(missing)} of the model's {len(expected)} genes are missing (e.g. {list(missing[:_N_EXAMPLES])}) and "
            f"{len(extra)} are unknown to it (e.g. {list(extra[:_N_EXAMPLES])})"
        )
    else:
        problem = f"the model's {len(expected)} genes are in another order"
    msg = f"In the new data {problem}; use `adata[:, model.gene_names].copy()`, or train a model on these genes."
    raise ValueError(msg)


class FiniteJointObsField(NumericalJointObsField):
    """Continuous covariates that must be finite; scvi-tools would train to a loss of NaN."""

    def validate_field(self, adata: AnnData) -> None:
        """Check that the columns exist and hold finite numbers."""
        super().validate_field(adata)
        for key in self.attr_keys:
            n_bad = int((~np.isfinite(_numbers(adata, key))).sum())
            if n_bad:
                msg = f"Covariate {key!r} has {n_bad} NaN or infinite values in `obs`; fill them or drop those cells."
                raise ValueError(msg)


class PositiveObsField(NumericalObsField):
    """A size factor, which must be positive, because its logarithm is taken."""

    def validate_field(self, adata: AnnData) -> None:
        """Check that the column exists and holds finite numbers above zero."""
        super().validate_field(adata)
        values = _numbers(adata, self.attr_key)
        n_bad = int((~(np.isfinite(values) & (values > 0))).sum())
        if n_bad:
            msg = (
                f"Size factor {self.attr_key!r} has {n_bad} values in `obs` that are not finite and above 0; "
                "correct them or drop those cells."
            )
            raise ValueError(msg)


def _numbers(adata: AnnData, key: str) -> np.ndarray:
    column = adata.obs[key]
    if not is_numeric_dtype(column):
        msg = f"Column {key!r} of `obs` is of type {column.dtype}, but numbers are expected; convert or leave it out."
        raise ValueError(msg)
    return column.to_numpy(dtype=float, na_value=np.nan)


MuDataGeneLayerField = MuDataWrapper(GeneLayerField)
MuDataFiniteJointObsField = MuDataWrapper(FiniteJointObsField)
MuDataPositiveObsField = MuDataWrapper(PositiveObsField)
