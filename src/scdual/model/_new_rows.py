"""The rows of tables of effects that a query adds to those of its reference.

Dimension key
    N  categories of a covariate, of the reference and new
"""

import math
from functools import partial

import numpy as np
import torch
from scvi import REGISTRY_KEYS
from torch import nn

from scdual.model._inherited import InheritedMixin
from scdual.module import SCDualModule, batch_evidence
from scdual.nn import LatentPooling

State = dict[str, torch.Tensor]

_N_ASKED = 500  # cells that tell which known batch a new one is like
_VARIANCE_SHARE = 0.1  # variance of a new row about its start, relative to that between known rows


def grown_state(known: State, wanted: State) -> State:
    """Return a state of the shapes wanted, in which known values come first."""
    state = {}
    for name, values in wanted.items():
        state[name] = values.clone()
        state[name][tuple(map(slice, known[name].shape))] = known[name].to(values)
    return state


@torch.no_grad()
def move_unlabelled(module: SCDualModule, new_rows: dict[str, int]) -> None:
    """Keep the dispersions of cells without a label behind those of new labels, where their code is."""
    name = "cell_state.decoder.log_inverse_dispersion"
    if module.dispersion == "gene-label" and module.n_classes < module.n_labels and name in new_rows:
        table, last = module.get_parameter(name), new_rows[name] - 1
        table[-1] = table[last]
        table[last:-1] = table[:last].mean(0)
        new_rows[name] = last


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
def start_new_batches(model: InheritedMixin, n_known_rows: dict[str, int]) -> None:
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


def _gradient_of_new_rows(
    grad: torch.Tensor, *, parameter: nn.Parameter, start: torch.Tensor, precision: float
) -> torch.Tensor:
    new = slice(len(parameter) - len(start), None)
    kept = torch.zeros_like(grad)
    kept[new] = grad[new] + precision * (parameter.detach()[new] - start.to(grad))
    return kept


def stop_dropout(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
        if isinstance(part, LatentPooling):
            part.dropout_rate = 0.0


def with_rows_of(module: nn.Module, state: State) -> State:
    """Return the state of an ensemble member with as many rows as the module has, new ones at the mean of the others."""
    size = {name: parameter.shape for name, parameter in module.named_parameters()}
    grown = {}
    for name, values in state.items():
        n_new = size[name][0] - len(values) if name in size and values.ndim else 0
        grown[name] = (
            torch.cat([values, values.mean(0, keepdim=True).expand(n_new, *values.shape[1:])]) if n_new else values
        )
    return grown
