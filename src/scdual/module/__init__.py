"""The probabilistic model, its losses and its training plan."""

from scdual.module._losses import edge_sparsity, prior_disagreement, regulation_loss
from scdual.module._module import Hidden, SCDualModule
from scdual.module._plan import SCDualTrainingPlan
from scdual.module._scale import ExpressionScale, ValueMixture

__all__ = [
    "ExpressionScale",
    "Hidden",
    "SCDualModule",
    "SCDualTrainingPlan",
    "ValueMixture",
    "edge_sparsity",
    "prior_disagreement",
    "regulation_loss",
]
