"""The data manager of scvi-tools, which pairs cells by name and knows when data have changed.

Dimension key
    C  cells
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scipy import sparse
from scvi import REGISTRY_KEYS
from scvi.data import AnnDataManager, AnnTorchDataset
from torch.utils.data import Subset

from scdual.data._cells import cell_order, check_cell_names
from scdual.data._fingerprint import column_hashes, row_hashes
from scdual.data._rollback import unchanged_on_error
from scdual.data._rows import read_rows
from scdual.data._state import DataState


class CellManager(AnnDataManager):
    """A data manager of which the order of cells in a modality, on disk, or in a minibatch cannot be confused.

    Beside what :class:`scvi.data.AnnDataManager` does,

    * cells of MuData are paired by name: whatever is read stands in the order of ``mdata.obs``;
    * cells on disk are returned in the order in which they are asked for;
    * data whose registration fails stay as they were;
    * :meth:`changes` says how the data differ from what was registered.
    """

    adata: Any
    state: DataState | None = None

    def register_fields(
        self, adata: AnnData | MuData, source_registry: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Register the data; if that fails, they stay as they were."""
        check_cell_names(adata)
        with unchanged_on_error(adata):
            super().register_fields(adata, source_registry, **kwargs)
            if self.state is None:  # else a setup for another model is undone, and what counts is the first
                self.state = self.current_state()

    def validate(self) -> None:
        """Register the data again if they have been set up for something else since."""
        adata = self.adata
        try:
            super().validate()
        finally:
            self.adata = adata

    def get_from_registry(self, registry_key: str) -> Any:
        """Return registered data, one row per cell, in the order of the cells of the whole object."""
        values = super().get_from_registry(registry_key)
        if isinstance(values, sparse.sparray):
            values = _matrix_of(values)
        modality = self.data_registry[registry_key].get("mod_key")
        if modality is None:
            return values
        order = cell_order(self.adata, modality)
        if order is None:
            return values
        return values.iloc[order] if isinstance(values, pd.DataFrame) else read_rows(values, order)

    def create_torch_dataset(
        self,
        indices: Sequence[int] | Sequence[bool] | None = None,
        data_and_attributes: list[str] | dict[str, np.dtype] | None = None,
        load_sparse_tensor: bool = False,
    ) -> "CellDataset | Subset[Any]":
        """Return the cells at ``indices`` as a data set of torch."""
        dataset = CellDataset(self, data_and_attributes, load_sparse_tensor)
        return dataset if indices is None else Subset(dataset, indices)

    def current_state(self) -> DataState:
        """Return what the data are now."""
        where = self.data_registry[REGISTRY_KEYS.X_KEY]
        part = self._part(where.get("mod_key"))
        counts = part.X if where["attr_name"] == "X" else part.layers.get(where["attr_key"])
        columns: dict[str, np.ndarray] = {}
        for field in self.fields:
            if not field.is_empty and field.registry_key != REGISTRY_KEYS.X_KEY:
                columns |= _columns_of(field, self._part(field.mod_key))
        hashes = None if counts is None else row_hashes(counts)
        return DataState(self.adata.obs_names, part.obs_names, part.var_names, hashes, columns)

    def _part(self, modality: str | None) -> AnnData | MuData:
        return self.adata if modality is None else self.adata.mod[modality]

    def changes(self) -> str | None:
        """Return in words how the data differ from what was registered, None if they do not."""
        return None if self.state is None else self.state.difference(self.current_state())


class CellDataset(AnnTorchDataset):
    """A data set that returns cells on disk in the order in which they are asked for; scvi-tools sorts them."""

    def __getitem__(self, indexes: int | list[int] | slice) -> dict[str, Any]:
        """Return data of the cells at these positions."""
        if not self.adata_manager.adata.isbacked or isinstance(indexes, slice):
            return super().__getitem__(indexes)
        rising, place = np.unique(indexes, return_inverse=True)
        found = super().__getitem__(rising)
        if np.array_equal(place, np.arange(len(rising))):
            return found
        parts = {key: part.to_dense() if isinstance(part, torch.Tensor) else part for key, part in found.items()}
        return {key: part[place] for key, part in parts.items()}


def _columns_of(field: Any, part: AnnData | MuData) -> dict[str, np.ndarray]:
    """Return hashes of the columns that a field reads and of what scvi-tools has written for it, as far as they exist."""
    source = getattr(field, "adata_field", field)
    where = "`obs`" if field.mod_key is None else f"`mod[{field.mod_key!r}].obs`"
    hashes = {f"{key!r} of {where}": column_hashes(part.obs[key]) for key in source.columns if key in part.obs}
    slot = getattr(part, field.attr_name)
    if field.attr_key in slot:
        values = np.asarray(slot[field.attr_key], dtype=np.float32).reshape(part.n_obs, -1)
        hashes[f"{field.attr_key!r} of `{field.attr_name}`, which scvi-tools needs,"] = row_hashes(values)
    return hashes


def _matrix_of(values: sparse.sparray) -> "sparse.spmatrix":
    """Return a sparse matrix on the same memory, which scvi-tools knows, in place of a sparse array."""
    return sparse.csc_matrix(values) if values.format == "csc" else sparse.csr_matrix(values)
