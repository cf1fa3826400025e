"""The probabilistic model, its losses and its training plan."""

from scdual.module._arguments import MODULE_CHECKS, PLAN_CHECKS, check_arguments, check_module
from scdual.module._likelihood import batch_evidence
from scdual.module._losses import classification_loss, edge_sparsity, prior_disagreement, regulation_loss
from scdual.module._module import SCDualModule
from scdual.module._plan import SCDualTrainingPlan
from scdual.module.map import (
    ExpressionScale,
    Hidden,
    Hiding,
    KnownPairs,
    MapCells,
    MapSettings,
    MapValues,
    Posterior,
    RegulationMap,
    ValueMixture,
    group_map,
    posterior_map,
    prior_factor,
    prior_reach,
    prior_trust,
    residual_correlation,
    squared_errors,
)

__all__ = [
    "MODULE_CHECKS",
    "PLAN_CHECKS",
    "ExpressionScale",
    "Hidden",
    "Hiding",
    "KnownPairs",
    "MapCells",
    "MapSettings",
    "MapValues",
    "Posterior",
    "RegulationMap",
    "SCDualModule",
    "SCDualTrainingPlan",
    "ValueMixture",
    "batch_evidence",
    "check_arguments",
    "check_module",
    "classification_loss",
    "edge_sparsity",
    "group_map",
    "posterior_map",
    "prior_disagreement",
    "prior_factor",
    "prior_reach",
    "prior_trust",
    "regulation_loss",
    "residual_correlation",
    "squared_errors",
]
