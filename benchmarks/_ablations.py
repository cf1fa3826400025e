"""SCDual with one part taken out."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from anndata import AnnData
from torch import nn

from scdual.model import SCDual


class Ablation(NamedTuple):
    """What to change: arguments of the model, and the model itself once it is built."""

    arguments: dict[str, Any]
    edit: Callable[[SCDual], None] = lambda model: None


class OpenGate(nn.Module):
    """A gate that lets every message through unchanged."""

    def forward(self, target_state: torch.Tensor, regulator_state: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return target_state.new_ones(len(target), len(regulator_state))

    def set_expectation(self, gate: torch.Tensor) -> None:
        """Have nothing to set."""


def _without_gene_branch(model: SCDual) -> None:
    model.module.gene_branch.blocks = nn.ModuleList()


def _without_gate(model: SCDual) -> None:
    model.module.gate = OpenGate()


def _without_start(model: SCDual) -> None:
    model.module.fit_scale(model._make_data_loader(model.adata, batch_size=512))
    nn.init.zeros_(model.module.gate.pair_offset)
    model.module.gene_embedding.shift.zero_()


ABLATIONS = {
    "no gene branch": Ablation({}, _without_gene_branch),
    "no gate": Ablation({}, _without_gate),
    "no regulatory loss": Ablation({"regulation_weight": 0.0}),
    "no token masking": Ablation({"dropout_rate": 0.0}),
    "no hiding": Ablation({"visible_share": 0.99}),
    "no denoising": Ablation({"denoised_weight": 0.0}),
    "no start": Ablation({}, _without_start),
}


def build(adata: AnnData, ablation: str | None = None, **arguments: Any) -> SCDual:
    """Return an untrained model, with one part taken out if an ablation is named."""
    taken_out = ABLATIONS[ablation] if ablation else Ablation({})
    model = SCDual(adata, **arguments, **taken_out.arguments)
    taken_out.edit(model)
    return model
