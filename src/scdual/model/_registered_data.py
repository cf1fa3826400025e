"""Data that a model knows: registered, checked for changes, looked up, forgotten."""

from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from os import PathLike, fspath
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import pandas as pd
import rich.pretty  # noqa: F401 - scvi-tools calls it without importing it
import torch
from anndata import AnnData
from lightning import LightningDataModule
from mudata import MuData
from scvi import REGISTRY_KEYS
from scvi.data import AnnDataManager
from scvi.model.base import BaseModelClass

from scdual._checks import argument_names, check_keywords, check_whole
from scdual.data._rollback import unchanged_on_error
from scdual.model._annbatch import (
    check_adatas,
    check_annbatch,
    check_columns,
    check_files,
    check_place,
    collection_genes,
    collection_obs,
    without_warnings,
)
from scdual.model._cells import cell_positions
from scdual.model._managers import WeakStores, keep_with_data
from scdual.model._scvi import SETUP_ARGS_KEY, SETUP_METHOD_KEY, UUID_KEY, name_genes


def check_data_kind(data: Any, known: AnnData | MuData | Mapping[str, Any]) -> None:
    """Raise ``TypeError`` unless data are of the same kind as those a model was set up with.

    Parameters
    ----------
    data
        Data that were passed.
    known
        Data of the model, or its registry if it has none.
    """
    is_mudata = (
        known.get(SETUP_METHOD_KEY) == "setup_mudata" if isinstance(known, Mapping) else isinstance(known, MuData)
    )
    kind, method = (MuData, "setup_mudata") if is_mudata else (AnnData, "setup_anndata")
    if not isinstance(data, kind):
        advice = "MuData with the same modalities" if is_mudata else "AnnData"
        given = advice if not isinstance(data, MuData) else "AnnData of the RNA, such as `mdata.mod['rna']`"
        msg = f"`adata` is {type(data).__name__}, but the model was set up with {kind.__name__}, by `SCDual.{method}`. Pass {given}."
        raise TypeError(msg)


class RegisteredDataMixin(BaseModelClass, metaclass=WeakStores):
    """Methods of scvi-tools about registered data, which must not change behind the model's back."""

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

    @classmethod
    def register_manager(cls, adata_manager: AnnDataManager) -> None:
        """Remember how data were registered, as long as the data live."""
        keep_with_data(adata_manager, cls)
        super().register_manager(adata_manager)

    def _register_manager_for_instance(self, adata_manager: AnnDataManager) -> None:
        """Remember how the model sees data, as long as both live."""
        keep_with_data(adata_manager, self)
        if self.id not in self._per_instance_manager_store:
            self._managers: WeakValueDictionary[str, AnnDataManager] = WeakValueDictionary()
            self._per_instance_manager_store[self.id] = self._managers
        super()._register_manager_for_instance(adata_manager)

    @classmethod
    def setup_annbatch(
        cls,
        collection_path: str | PathLike[str] | None = None,
        paths: Sequence[str | PathLike[str]] | None = None,
        batch_key: str | None = None,
        labels_key: str | None = None,
        *,
        rebuild: bool | None = None,
        batch_size: int = 128,
        dataset_size: int | str = "1GB",
        preload_to_gpu: bool | None = None,
        require_counts: bool = True,
        **kwargs: Any,
    ) -> LightningDataModule:
        """Return a datamodule that reads cells from disk, for ``SCDual(registry=datamodule.registry)`` and :meth:`train`.

        An annbatch collection is made of h5ad files, or one that was made before is opened. It needs scvi-tools 1.5 on Python 3.12
        or later, and ``pip install "scdual[annbatch]"``.

        Parameters
        ----------
        collection_path
            Folder of the collection; None takes ``scdual_annbatch.zarr`` in the working directory.
        paths
            h5ad files with the same genes, in any order; None opens the collection that is there.
        batch_key, labels_key
            As in :meth:`setup_anndata`.
        rebuild
            Whether the collection is made anew; None does so if there are ``paths``.
        batch_size
            Cells per minibatch; it has to divide ``chunk_size * preload_nchunks``.
        dataset_size
            Cells, or bytes, that are held in memory while the collection is made.
        preload_to_gpu
            Whether minibatches are put together on a GPU, which needs cupy; None does so if cupy is there.
        require_counts
            Whether values that are no integers are an error.
        **kwargs
            Further arguments of the method of scvi-tools, such as ``layer``, ``shuffle``, ``categorical_covariate_keys`` or
            ``chunk_size``.

        Raises
        ------
        ImportError, NotImplementedError
            If annbatch is missing, or scvi-tools is older than 1.5.
        FileNotFoundError, FileExistsError
            If there is no such file, or something else than a collection would be written over.
        KeyError, TypeError, ValueError
            If the files differ in their genes or their layout, lack a column or layer, or hold no counts, or an argument is wrong.
            Nothing has been written then.
        """
        check_annbatch()
        make = super().setup_annbatch
        check_keywords(kwargs, argument_names(make), where="`setup_annbatch`", own=argument_names(cls.setup_annbatch))
        check_whole("batch_size", batch_size, at_least=1)
        if kwargs.get("use_class_sampler"):
            msg = "`use_class_sampler` repeats cells, but the map is learnt from each cell once; leave it out."
            raise NotImplementedError(msg)
        place = fspath(collection_path) if collection_path is not None else f"{cls.__name__.lower()}_annbatch.zarr"
        setup = {"layer": kwargs.get("layer"), "batch_key": batch_key, "labels_key": labels_key, **kwargs}
        rebuild = paths is not None if rebuild is None else rebuild
        in_memory = kwargs.get("adatas") is not None
        if in_memory:
            check_adatas(kwargs["adatas"])
            for adata in kwargs["adatas"]:
                check_columns(adata.obs, setup)
        elif rebuild and paths is not None:
            check_place(place)
            check_files(paths, setup, kwargs.get("var_subset"), require_counts=require_counts)
        else:
            check_columns(collection_obs(place), setup)
        with without_warnings():
            datamodule = make(
                None if in_memory else place,
                None if paths is None else [fspath(path) for path in paths],
                batch_key=batch_key,
                labels_key=labels_key,
                rebuild=rebuild,
                batch_size=batch_size,
                dataset_size=dataset_size,
                preload_to_gpu=find_spec("cupy") is not None if preload_to_gpu is None else preload_to_gpu,
                **kwargs,
            )
            datamodule.set_batch_size(batch_size)
            if not in_memory:
                name_genes(datamodule, collection_genes(place))
        return datamodule

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
        TypeError
            If the data are of another kind than those the model was set up with.
        ValueError
            If the model's own data have changed. Other data are registered anew.
        """
        self._require_data(adata)
        data = self.adata if adata is None else adata
        check_data_kind(data, self.registry_ if self.adata is None else self.adata)
        if not data.n_obs:  # scvi-tools takes empty data for none
            msg = "The data have no cells; check how they were selected."
            raise ValueError(msg)
        with unchanged_on_error(data):
            super()._validate_anndata(data, copy_if_view)
            manager = self.get_anndata_manager(data, required=True)
            changes = manager.changes()
            if changes and manager is self.adata_manager:
                method = "setup_mudata" if isinstance(data, MuData) else "setup_anndata"
                msg = (
                    f"The data changed after they were set up: {changes}; undo that, or call `SCDual.{method}` again "
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

    def _var_table(self) -> pd.DataFrame | None:
        """Return the table of the genes of the model, None if it has no data."""
        if isinstance(self.adata, MuData):
            return self.adata.mod[self._rna_modality].var
        return None if self.adata is None else self.adata.var

    @property
    def _rna_modality(self) -> str:
        return self.adata_manager.data_registry[REGISTRY_KEYS.X_KEY].mod_key
