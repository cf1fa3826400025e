"""Map new data onto a trained model."""

import math
import warnings
from copy import deepcopy
from os import PathLike, fspath
from typing import Any, Self

import numpy as np
import pandas as pd
from anndata import AnnData
from lightning import LightningDataModule
from mudata import MuData
from scvi import REGISTRY_KEYS
from scvi.model.base import ArchesMixin

from scdual._checks import check_flag, check_type
from scdual.data._fields import check_same_genes
from scdual.data._query_genes import with_genes_of
from scdual.data._rollback import unchanged_on_error
from scdual.model._devices import place_of
from scdual.model._inherited import InheritedMixin
from scdual.model._new_rows import (
    freeze_all_but,
    grown_state,
    move_unlabelled,
    start_new_batches,
    start_new_rows,
    stop_dropout,
    with_rows_of,
)
from scdual.model._record import query_record
from scdual.model._registered_data import check_data_kind
from scdual.model._scvi import (
    FIELD_REGISTRIES_KEY,
    SETUP_ARGS_KEY,
    SETUP_METHOD_KEY,
    STATE_REGISTRY_KEY,
)


class QueryMixin(ArchesMixin, InheritedMixin):
    """Methods of SCDual that map query data onto a reference."""

    @classmethod
    def load_query_data(  # noqa: PLR0913 - the signature of scvi-tools
        cls,
        adata: AnnData | MuData | None = None,
        reference_model: "str | PathLike[str] | QueryMixin | None" = None,
        registry: dict[str, Any] | None = None,
        inplace_subset_query_vars: bool = False,
        accelerator: str = "auto",
        device: int | str = "auto",
        unfrozen: bool = False,
        freeze_dropout: bool = False,
        freeze_expression: bool = True,
        freeze_decoder_first_layer: bool = True,
        freeze_batchnorm_encoder: bool = True,
        freeze_batchnorm_decoder: bool = False,
        freeze_classifier: bool = True,
        transfer_batch: bool = True,
        datamodule: LightningDataModule | None = None,
    ) -> Self:
        """Return a model for new data whose latent space and map are those of a reference :cite:p:`Lotfollahi21`.

        A batch, covariate category or label that the reference does not know becomes a new row of each table of
        effects. A new batch starts as the known batch that explains its cells best; where there are no cells to ask, as
        with ``datamodule``, and for other covariates, the row starts at the mean of the known ones. So the model can be
        used at once. Training it on the query changes the new rows and nothing else: reference cells keep their
        embedding, bit by bit.

        Parameters
        ----------
        adata
            Query data with the genes of the reference; :meth:`prepare_query_anndata` sorts and completes them.
        reference_model
            Trained model, or the folder in which one is saved.
        registry
            Registry of a datamodule, in place of ``adata``.
        inplace_subset_query_vars
            Whether to sort and subset the genes of ``adata`` in place; they have to be there.
        accelerator, device
            Hardware, as in Lightning.
        unfrozen
            Whether training changes all parameters.
        freeze_dropout
            Whether training hides no gene from the encoder and drops no unit.
        freeze_classifier
            Whether the classifier of labels keeps what it learnt.
        transfer_batch
            Whether the query may have new batches.
        freeze_expression, freeze_decoder_first_layer, freeze_batchnorm_encoder, freeze_batchnorm_decoder
            Accepted so that calls written for scVI run; only their defaults are possible.
        datamodule
            EXPERIMENTAL. Source of minibatches in place of ``adata``.

        Raises
        ------
        RuntimeError
            If the reference is not trained.
        ValueError
            If this machine lacks the accelerator, the query has no cells, the genes differ, or ``transfer_batch`` is False
            and there are new batches. The query stays as it was.
        NotImplementedError
            If an option is asked for that frees other parts of scVI, or genes are to be subset in place in MuData.
        """
        _check_fixed(
            freeze_expression=freeze_expression,
            freeze_decoder_first_layer=freeze_decoder_first_layer,
            freeze_batchnorm_encoder=freeze_batchnorm_encoder,
            freeze_batchnorm_decoder=freeze_batchnorm_decoder,
        )
        how = {"unfrozen": unfrozen, "freeze_dropout": freeze_dropout, "freeze_classifier": freeze_classifier}
        _check_flags(**how, inplace_subset_query_vars=inplace_subset_query_vars, transfer_batch=transfer_batch)
        check_type("registry", registry, dict, optional=True)
        check_type("datamodule", datamodule, LightningDataModule, optional=True)
        if adata is None and registry is None:
            msg = "There is no query: pass `adata`, or the `registry` of a datamodule."
            raise ValueError(msg)
        if isinstance(adata, MuData) and inplace_subset_query_vars:
            msg = "`inplace_subset_query_vars` is not possible for MuData; call `prepare_query_mudata` first."
            raise NotImplementedError(msg)
        place = place_of(accelerator, device)
        reference = cls._reference(reference_model)._mapped_onto()
        if adata is not None:
            check_data_kind(adata, reference.registry_ if reference.adata is None else reference.adata)
            with unchanged_on_error(adata):
                reference._register_query(adata, subset=inplace_subset_query_vars, new_batches=transfer_batch)
        elif registry is not None and not transfer_batch:
            _check_no_new_batches(reference.registry_, registry)
        model = reference._like(adata, registry)
        model.to_device(place)
        model.module.eval()
        reference_state = reference.module.state_dict()
        model.module.load_state_dict(grown_state(reference_state, model.module.state_dict()))
        new_rows = start_new_rows(model.module, reference_state)
        move_unlabelled(model.module, new_rows)
        if model.adata is not None:
            start_new_batches(model, new_rows)
        if not unfrozen:
            freeze_all_but(model.module, new_rows, n_cells=math.inf if model.adata is None else model.adata.n_obs)
        if not freeze_classifier and model.module.classifier is not None:
            model.module.classifier.requires_grad_(True)
        if freeze_dropout:
            stop_dropout(model.module)
        model.ensemble_ = [with_rows_of(model.module.map, state) for state in model.ensemble_]
        model.null_ = with_rows_of(model.module.map, model.null_)
        model.is_trained = True
        model.record_ = query_record(model, reference_state, how)
        return model

    @classmethod
    def prepare_query_anndata(
        cls,
        adata: AnnData,
        reference_model: "str | PathLike[str] | QueryMixin",
        return_reference_var_names: bool = False,
        inplace: bool = True,
    ) -> AnnData | pd.Index | None:
        """Sort the genes of query data as in the reference, leave out the others, and fill in missing ones with zeros.

        Ensembl ids match whatever their version, if it is clear which is meant; a warning says how many did so.

        Parameters
        ----------
        adata
            Query data.
        reference_model
            Trained model, or the folder in which one is saved.
        return_reference_var_names
            Whether to return the genes of the reference and do nothing else.
        inplace
            Whether ``adata`` itself is changed; otherwise the result is returned.

        Raises
        ------
        ValueError
            If there are no cells, gene names repeat, or no gene is shared.
        """
        _check_flags(return_reference_var_names=return_reference_var_names, inplace=inplace)
        names = pd.Index(cls._reference(reference_model).gene_names)
        if return_reference_var_names:
            return names
        _check_kind(adata, AnnData, other="prepare_query_mudata", inplace=inplace)
        prepared = with_genes_of(adata, names)
        if not inplace:
            return prepared
        adata._init_as_actual(prepared)
        return None

    @classmethod
    def prepare_query_mudata(
        cls,
        mdata: MuData,
        reference_model: "str | PathLike[str] | QueryMixin",
        return_reference_var_names: bool = False,
        inplace: bool = True,
    ) -> MuData | dict[str, pd.Index] | None:
        """Do what :meth:`prepare_query_anndata` does with the RNA of query data.

        Parameters
        ----------
        mdata
            Query data.
        reference_model
            Trained model, or the folder in which one is saved.
        return_reference_var_names
            Whether to return the genes of the reference and do nothing else, as ``{modality: genes}``.
        inplace
            Whether ``mdata`` itself is changed; otherwise the result is returned.

        Raises
        ------
        ValueError
            If the RNA modality is missing, there are no cells, gene names repeat, or no gene is shared.
        """
        _check_flags(return_reference_var_names=return_reference_var_names, inplace=inplace)
        reference = cls._reference(reference_model)
        modality, names = (
            reference.registry_[SETUP_ARGS_KEY].get("modalities", {}).get("rna_layer"),
            reference.gene_names,
        )
        if modality is None:
            msg = "The reference was set up with AnnData; prepare the RNA modality with `prepare_query_anndata`."
            raise ValueError(msg)
        if return_reference_var_names:
            return {modality: pd.Index(names)}
        _check_kind(mdata, MuData, other="prepare_query_anndata", inplace=inplace)
        if modality not in mdata.mod:
            msg = (
                f"The reference has its RNA in modality {modality!r}, but the query has {list(mdata.mod)}; rename one."
            )
            raise ValueError(msg)
        prepared = with_genes_of(mdata.mod[modality], pd.Index(names))
        result = mdata if inplace else mdata.copy()
        result.mod[modality] = prepared
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # mudata 0.3 on what 0.4 will not do
            result.update_var()
        return None if inplace else result

    @classmethod
    def _reference(cls, reference_model: Any) -> Self:
        """Return a trained model, loaded if a folder is given."""
        if isinstance(reference_model, str | PathLike):
            return cls.load(fspath(reference_model), adata=False, accelerator="cpu")
        if not isinstance(reference_model, cls):
            msg = (
                f"`reference_model` is {type(reference_model).__name__}, expected a reference model: a trained {cls.__name__}, "
                "or the folder in which one is saved."
            )
            raise TypeError(msg) if reference_model is not None else ValueError(msg)
        return reference_model

    def _mapped_onto(self) -> Self:
        """Return the model, or raise ``RuntimeError`` if it has no embedding."""
        if not self.is_trained:
            msg = (
                "The reference model has no embedding onto which cells can be mapped, because it is not trained; call `train` "
                "on it first. The map of new cells alone is `reference.get_regulation(adata, groupby=...)`."
            )
            raise RuntimeError(msg)
        return self

    def _register_query(self, adata: AnnData | MuData, *, subset: bool, new_batches: bool) -> None:
        """Set up query data as those of the model were, with new categories."""
        if not adata.n_obs:
            msg = "The query has no cells; check how it was selected."
            raise ValueError(msg)
        registry, before = self.registry_, None
        if subset:
            check_same_genes(np.sort(self.gene_names), np.sort(adata.var_names.intersection(self.gene_names)))
            before = adata.copy()
            adata._inplace_subset_var(self.gene_names)
        try:
            method = getattr(type(self), registry.get(SETUP_METHOD_KEY, "setup_anndata"))
            new = {"extend_categories": True, "allow_missing_labels": True}
            method(adata, source_registry=registry, **new, **registry[SETUP_ARGS_KEY])
            if not new_batches:
                _check_no_new_batches(registry, self._get_most_recent_anndata_manager(adata, required=True).registry)
            before = None
        finally:
            if before is not None:
                adata._init_as_actual(before)

    def _like(self, adata: AnnData | MuData | None, registry: dict[str, Any] | None) -> Self:
        """Return a model of other data, built and described as this one."""
        given = self.init_params_["non_kwargs"] | {
            name: value for kwargs in self.init_params_["kwargs"].values() for name, value in kwargs.items()
        }
        model = type(self)(adata, registry=registry if adata is None else None, **given)
        for name, value in vars(self).items():
            if name.endswith("_") and name not in ("registry_", "init_params_"):
                setattr(model, name, deepcopy(value))
        return model


def _check_flags(**flags: Any) -> None:
    for name, value in flags.items():
        check_flag(name, value)


def _check_fixed(**options: Any) -> None:
    """Raise an error unless the options of scVI that have no counterpart here are at their defaults."""
    _check_flags(**options)
    if options != {name: name != "freeze_batchnorm_decoder" for name in options}:
        msg = (
            "`freeze_expression`, `freeze_decoder_first_layer` and `freeze_batchnorm_...` name parts of scVI that "
            "SCDual does not have; leave them at their defaults, or pass `unfrozen=True` to train everything."
        )
        raise NotImplementedError(msg)


def _check_kind(data: Any, kind: type[Any], *, other: str, inplace: bool) -> None:
    if not isinstance(data, kind):
        msg = f"The query is {type(data).__name__}, expected {kind.__name__}; see `{other}` for the other kind of data."
        raise TypeError(msg)
    if inplace and data.is_view:
        msg = "The query is a view of other data, which cannot be changed; pass a copy, `query.copy()`, or `inplace=False`."
        raise ValueError(msg)


def _check_no_new_batches(known: dict[str, Any], query: dict[str, Any]) -> None:
    names = [
        list(registry[FIELD_REGISTRIES_KEY][REGISTRY_KEYS.BATCH_KEY][STATE_REGISTRY_KEY]["categorical_mapping"])
        for registry in (known, query)
    ]
    new = [name for name in names[1] if name not in names[0]]
    if new:
        msg = (
            f"The query has batch categories missing from the reference, e.g. {new[:3]}; it knows {names[0][:3]}. "
            "Rename them, or leave `transfer_batch` at True."
        )
        raise ValueError(msg)
