"""Map new data onto a trained model.

Dimension key
    N  categories of a covariate, of the reference and new
"""

import math
import warnings
from functools import partial
from os import PathLike
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from lightning import LightningDataModule
from mudata import MuData
from scvi import REGISTRY_KEYS, settings
from scvi.model.base import ArchesMixin
from torch import nn

from scdual.model._inherited import InheritedMixin
from scdual.model._record import query_record
from scdual.model._saved_model import read_saved
from scdual.model._scvi import loaded_data
from scdual.module import batch_evidence
from scdual.nn import LatentPooling

State = dict[str, torch.Tensor]

_N_ASKED = 500  # cells that tell which known batch a new one is like
_VARIANCE_SHARE = 0.1  # variance of a new row about its start, relative to that between known rows


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
        ValueError
            If the genes differ, or ``transfer_batch`` is False and there are new batches.
        NotImplementedError
            If an option is asked for that frees other parts of scVI, or genes are to be subset in place in MuData.
        """
        options = (freeze_expression, freeze_decoder_first_layer, freeze_batchnorm_encoder, freeze_batchnorm_decoder)
        if options != (True, True, True, False):
            msg = (
                "`freeze_expression`, `freeze_decoder_first_layer` and `freeze_batchnorm_...` name parts of scVI that "
                "SCDual does not have; leave them at their defaults, or pass `unfrozen=True` to train everything."
            )
            raise NotImplementedError(msg)
        reference_model = _model_or_folder(reference_model)
        if isinstance(adata, MuData) and inplace_subset_query_vars:
            msg = "`inplace_subset_query_vars` is not possible for MuData; call `prepare_query_mudata` first."
            raise NotImplementedError(msg)
        model = super().load_query_data(
            adata,
            reference_model,
            registry,
            inplace_subset_query_vars,
            accelerator,
            device,
            unfrozen=True,  # the policy of scvi-tools knows only its own layers
            transfer_batch=transfer_batch,
            datamodule=datamodule,
        )
        reference_state = loaded_data(reference_model, device="cpu")[2]
        new_rows = start_new_rows(model.module, reference_state)
        if model.adata is not None:
            start_new_batches(model, new_rows)
        if not unfrozen:
            freeze_all_but(model.module, new_rows, n_cells=math.inf if model.adata is None else model.adata.n_obs)
        if not freeze_classifier and model.module.classifier is not None:
            model.module.classifier.requires_grad_(True)
        if freeze_dropout:
            _stop_dropout(model.module)
        model.ensemble_ = [_with_rows_of(model.module, state) for state in model.ensemble_]
        model.null_ = _with_rows_of(model.module, model.null_)
        model.is_trained = True
        how = {"unfrozen": unfrozen, "freeze_dropout": freeze_dropout, "freeze_classifier": freeze_classifier}
        model.record_ = query_record(model, reference_state, how)
        return model

    @staticmethod
    def prepare_query_anndata(
        adata: AnnData,
        reference_model: "str | PathLike[str] | QueryMixin",
        return_reference_var_names: bool = False,
        inplace: bool = True,
    ) -> AnnData | pd.Index | None:
        """Sort the genes of query data as in the reference, leave out the others, and fill in missing ones with zeros.

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
            If no gene is shared.
        """
        reference_model = _model_or_folder(reference_model)
        names = ArchesMixin.prepare_query_anndata(adata, reference_model, return_reference_var_names=True)
        if return_reference_var_names:
            return names
        _report_missing(names, adata.var_names)
        given = adata if inplace else adata.copy()  # scvi-tools changes it where no gene is missing
        return ArchesMixin.prepare_query_anndata(given, reference_model, inplace=inplace)

    @staticmethod
    def prepare_query_mudata(
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
            Whether to return the genes of the reference by modality and do nothing else.
        inplace
            Whether ``mdata`` itself is changed; otherwise the result is returned.

        Raises
        ------
        ValueError
            If no gene is shared.
        """
        reference_model = _model_or_folder(reference_model)
        names = ArchesMixin.prepare_query_mudata(mdata, reference_model, return_reference_var_names=True)
        if return_reference_var_names:
            return names
        for modality in set(names) & set(mdata.mod):
            _report_missing(pd.Index(names[modality]), mdata.mod[modality].var_names)
        given = mdata if inplace else mdata.copy()
        return ArchesMixin.prepare_query_mudata(given, reference_model, inplace=inplace)


@torch.no_grad()
def start_new_rows(module: nn.Module, reference_state: State) -> dict[str, int]:
    """Set the rows that the reference does not have to the mean of those it has.

    Parameters
    ----------
    module
        Module whose tables may have more rows than those of the reference.
    reference_state
        State of the reference module.

    Returns
    -------
    Number of rows of the reference, by name of each parameter that has grown.
    """
    grown = {}
    for name, parameter in module.named_parameters():
        n_known = len(reference_state[name]) if parameter.ndim else 0
        if parameter.ndim and len(parameter) > n_known:
            parameter[n_known:] = parameter[:n_known].mean(0)
            grown[name] = n_known
    return grown


@torch.no_grad()
def start_new_batches(model: "QueryMixin", n_known_rows: dict[str, int]) -> None:
    """Set the rows of each new batch to those of the known batch that explains its cells best.

    Parameters
    ----------
    model
        Model of the query.
    n_known_rows
        Number of known rows, by name of each parameter with new ones.
    """
    module = model.module
    endings = ["effects.categorical.0", f"_embeddings_dict.{REGISTRY_KEYS.BATCH_KEY}.weight"]
    if module.dispersion == "gene-batch":
        endings.append("log_inverse_dispersion")
    tables = {name: n for name, n in n_known_rows.items() if name.endswith(tuple(endings))}
    n_known = min(tables.values(), default=module.n_batch)
    batch = model.adata_manager.get_from_registry(REGISTRY_KEYS.BATCH_KEY).ravel()
    for new in range(n_known, module.n_batch):
        cells = np.flatnonzero(batch == new)
        if len(cells) == 0:
            continue
        cells = cells[np.linspace(0, len(cells) - 1, min(len(cells), _N_ASKED)).astype(int)]
        evidence = batch_evidence(module, model._make_data_loader(model.adata, indices=cells), n_batches=n_known)
        best = int(evidence.sum(0).argmax())
        for name in tables:
            table = module.get_parameter(name)
            table[new] = table[best]


def freeze_all_but(module: nn.Module, new_rows: dict[str, int], *, n_cells: float) -> None:
    r"""Let only new rows learn, with a normal prior about where they start.

    The gradient of the loss, a mean over cells, gets that of the negative log prior of a new row,

    .. math:: \frac{1}{2 C \cdot 0.1 \sigma^2} \lVert \gamma - \gamma_0 \rVert^2

    with the variance :math:`\sigma^2` between the known rows of its table. A single known row says nothing about
    variance, so there is no prior then.

    Parameters
    ----------
    module
        Module to freeze.
    new_rows
        Number of known rows, which stay as they are, by name of each parameter with new ones.
    n_cells
        Number of cells ``C`` of the query; infinite, and then without a prior, if it is not known.
    """
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name in new_rows)
        if name in new_rows:
            known, start = parameter.detach().clone().split([new_rows[name], len(parameter) - new_rows[name]])
            variance = known.var(0).mean().item() if len(known) > 1 else math.inf
            precision = 1 / (_VARIANCE_SHARE * variance * n_cells) if variance else 0.0
            hook = partial(_gradient_of_new_rows, parameter=parameter, start=start, precision=precision)
            parameter.register_hook(hook)


def _model_or_folder(reference_model: Any) -> Any:
    """Return what is saved in a folder, or the model as it is."""
    return read_saved(reference_model) if isinstance(reference_model, str | PathLike) else reference_model


def _report_missing(names: pd.Index, found: pd.Index) -> None:
    missing = names.difference(found)
    if 0 < len(missing) < len(names):  # if all are missing, scvi-tools says so
        warnings.warn(
            f"{len(missing)} of {len(names)} genes of the reference are not in the query and count as not expressed, "
            f"e.g. {list(missing[:3])}.",
            UserWarning,
            stacklevel=settings.warnings_stacklevel,
        )


def _gradient_of_new_rows(
    grad: torch.Tensor, *, parameter: nn.Parameter, start: torch.Tensor, precision: float
) -> torch.Tensor:
    new = slice(len(parameter) - len(start), None)
    kept = torch.zeros_like(grad)
    kept[new] = grad[new] + precision * (parameter.detach()[new] - start.to(grad))
    return kept


def _stop_dropout(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
        if isinstance(part, LatentPooling):
            part.dropout_rate = 0.0


def _with_rows_of(module: nn.Module, state: State) -> State:
    """Return the state of an ensemble member with as many rows as the module has, new ones at the mean of the others."""
    size = {name: parameter.shape for name, parameter in module.named_parameters()}
    grown = {}
    for name, values in state.items():
        n_new = size[name][0] - len(values) if name in size and values.ndim else 0
        grown[name] = (
            torch.cat([values, values.mean(0, keepdim=True).expand(n_new, *values.shape[1:])]) if n_new else values
        )
    return grown
