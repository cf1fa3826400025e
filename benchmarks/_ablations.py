"""SCDual with one part changed, mostly taken out.

The model is imported late: methods that do without it import the names of the parts, and their memory is measured.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from anndata import AnnData

    from scdual.model import SCDual


class Ablation(NamedTuple):
    """What to change: arguments of the model, and the model itself once it is built."""

    arguments: dict[str, Any]
    edit: Callable[["SCDual"], None] = lambda model: None


def _without_gene_branch(model: "SCDual") -> None:
    model.module.map.gene_branch.blocks = model.module.map.gene_branch.blocks[:0]


def _without_gate(model: "SCDual") -> None:
    """Let every message through unchanged, from the first step on."""
    gate: Any = model.module.map.gate
    gate.forward = lambda target_state, regulator_state, target: target_state.new_ones(
        len(target), len(regulator_state)
    )
    gate.set_expectation = lambda expectation: None


def _without_start(model: "SCDual") -> None:
    model.module.fit_scale(model._make_data_loader(model.adata, batch_size=512))
    model.module.map.gate.pair_offset.data.zero_()
    model.module.map.gene_embedding.shift.zero_()


def _without_depth(model: "SCDual") -> None:
    scale: Any = model.module.map.values.scale
    scale.depth = lambda counts, *_: counts.new_zeros(len(counts), 2)


ABLATIONS = {
    "no gene branch": Ablation({}, _without_gene_branch),
    "no gate": Ablation({}, _without_gate),
    "no regulatory loss": Ablation({"regulation_weight": 0.0}),
    "no token masking": Ablation({"dropout_rate": 0.0}),
    "no hiding": Ablation({"visible_share": 0.99}),
    "no denoising": Ablation({"denoised_weight": 0.0}),
    "no start": Ablation({}, _without_start),
    "no depth": Ablation({}, _without_depth),
    "sparsity": Ablation({"sparsity_weight": 0.01}),
}


def build(adata: "AnnData", ablation: str | None = None, **arguments: Any) -> "SCDual":
    """Return an untrained model, with one part changed if an ablation is named."""
    from scdual.model import SCDual

    taken_out = ABLATIONS[ablation] if ablation else Ablation({})
    model = SCDual(adata, **arguments, **taken_out.arguments)
    taken_out.edit(model)
    return model
