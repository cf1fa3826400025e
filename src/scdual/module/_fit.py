"""What a module learns from the cells before its first step.

Inside tensors row = target, column = regulator.

Dimension key
    B  cells      G  genes      R  regulators
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

import torch
from scvi import REGISTRY_KEYS

from scdual.module._prior import prior_factor, prior_trust
from scdual.module._warm_start import Moments, correlation_signal, leave_one_out_ridge, shared_information

if TYPE_CHECKING:
    from scdual.module._module import SCDualModule

Tensors = dict[str, torch.Tensor]
_LARGEST_START = 0.9  # of the gate
SMALLEST_PENALTY = 1e-3  # regulators may be silent, or twins
_MOMENT_CELLS = 20_000


@torch.no_grad()
def fit_before_training(module: "SCDualModule", dataloader: Iterable[Tensors]) -> None:
    """Learn the scale of the values, the share of visible regulators, the value mixture, and where the gate starts.

    Parameters
    ----------
    module
        The module to prepare.
    dataloader
        Minibatches of the cells, those of validation included; it is read several times.
    """
    scale, regulators = module.scale, module.regulator_index

    def batches() -> Iterable[tuple[torch.Tensor, torch.Tensor | None]]:
        return ((dense(tensors[REGISTRY_KEYS.X_KEY]), module.size_factor(tensors)) for tensors in dataloader)

    def plain(log_expr: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        standardised = scale.standardise(log_expr)
        return standardised[:, regulators], standardised

    scale.fit(batches, module.expr_embedding)
    observed = collect_moments(module, dataloader, plain, n_enough=_MOMENT_CELLS)
    gram, cross = observed.partial()
    module.hiding.adapt(shared_information(gram, observed.n_cells))
    standardised = (scale.standardise(module.log_expr(tensors)) for tensors in dataloader)
    signal = correlation_signal(cross, regulators, observed.n_cells)
    module.mixture.fit(standardised, n_cells=observed.n_cells, signal=signal)
    view = partial(map_values, module)
    _start_gate(module, collect_moments(module, dataloader, view, n_enough=_MOMENT_CELLS))


def map_values(module: "SCDualModule", log_expr: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the values between which the map is learnt: of regulators ``(B, R)`` and of all genes ``(B, G)``."""
    genes = torch.arange(module.n_input, device=module.device)
    return module.mixed_values(log_expr), module.target_values(log_expr, genes)


def collect_moments(
    module: "SCDualModule",
    dataloader: Iterable[Tensors],
    view: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]],
    *,
    n_enough: int | None = None,
) -> Moments:
    """Return moments over cells, all unless a number is enough; ``view`` makes regulators and genes of log values."""
    n_covariates = module.regulation_decoder.effects.n_columns
    moments = Moments(len(module.regulator_index), module.n_input, n_covariates, device=module.device)
    for tensors in dataloader:
        moments.add(module.map_covariates(tensors), *view(module.log_expr(tensors)))
        if n_enough is not None and moments.n_cells >= n_enough:
            break
    return moments


def _start_gate(module: "SCDualModule", moments: Moments) -> None:
    """Start gate and covariates at the best linear prediction, if attention is uniform, and genes near their regulators."""
    module.mixture.set_std(moments.std(), moments.gene_std())
    moments = moments.scaled(module.mixture.std, module.mixture.target_std)
    gram, cross = moments.partial()
    cross = cross - module.mixture.own_share()
    penalty = max(module.hiding.penalty, SMALLEST_PENALTY)
    weight = leave_one_out_ridge(gram, cross, module.regulator_index, penalty=penalty).float()
    if module.prior_strength is not None:
        trust = prior_trust(weight, module.prior_strength)
        module.prior_factor.copy_(prior_factor(module.prior_strength, trust) ** module.prior_weight)
        module.prior_strength.mul_(trust)
    module.regulation_decoder.effects.set(moments.effects(weight.double()))
    module.gene_embedding.move_to_regulators(weight, module.regulator_index)
    context = module.gene_context(torch.arange(module.n_input, device=module.device))
    per_gate = module.hiding.visible_share * module.expr_branch.initial_gain(context).clamp_min(1e-6)
    gate = weight / per_gate  # (G, R)
    factor = max(1.0, float(gate.abs().max()) / _LARGEST_START)
    module.expr_branch.scale_gain(factor)
    module.gate.set_expectation(gate / factor)


def dense(x: torch.Tensor) -> torch.Tensor:
    """Return counts in strided layout, row by row; they may arrive as CSR or column by column."""
    return (x if x.layout == torch.strided else x.to_dense()).contiguous()
