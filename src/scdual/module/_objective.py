"""What the regulatory map is trained on.

Dimension key
    B  cells in the minibatch      G  genes      T  targets
"""

from typing import TYPE_CHECKING

import torch
from scvi import REGISTRY_KEYS

from scdual._constants import LOSS_KEYS
from scdual.module._hiding import Hidden
from scdual.module._losses import edge_sparsity, prior_disagreement, regulation_loss
from scdual.nn import GeneContext

if TYPE_CHECKING:
    from scdual.module._module import SCDualModule


def regulation_objective(
    module: "SCDualModule", tensors: dict[str, torch.Tensor]
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return the objective of a minibatch in nats per cell, and its parts.

    Parameters
    ----------
    module
        The model; in training it hides other regulators at every call.
    tensors
        A minibatch with counts ``(B, G)``.
    """
    n_cells = tensors[REGISTRY_KEYS.X_KEY].shape[0]
    hidden = module.hiding.draw(n_cells) if module.training else module.hiding.fixed()
    log_expr = module.log_expr(tensors, hidden.target)
    genes = module.gene_context(hidden.target)
    prediction = predict(module, tensors, log_expr, genes, hidden)
    truth = module.target_values(log_expr, hidden.target)
    parts = {
        LOSS_KEYS.REGULATION: regulation_loss(prediction, truth).mean(),
        LOSS_KEYS.SPARSITY: edge_sparsity(genes.gate),
    }
    if module.prior_strength is not None:
        strength, sign = module.prior_strength[hidden.target], module.prior_sign[hidden.target]
        parts[LOSS_KEYS.PRIOR] = prior_disagreement(genes.gate, strength, sign)
    objective = (
        0.5 * module.regulation_weight * parts[LOSS_KEYS.REGULATION]
        + module.sparsity_weight * parts[LOSS_KEYS.SPARSITY]
        + module.prior_weight * parts.get(LOSS_KEYS.PRIOR, 0.0)
    )
    return module.n_input * objective, parts


def predict(
    module: "SCDualModule",
    tensors: dict[str, torch.Tensor],
    log_expr: torch.Tensor,
    genes: GeneContext,
    hidden: Hidden,
) -> torch.Tensor:
    """Return standardised targets ``(B, T)`` of a minibatch with log values ``(B, G)``, seeing what is not hidden."""
    values = module.regulator_values_of(log_expr, hidden.target)
    values = values.hide(hidden.visible_mask, module.expr_embedding.mask_state)
    covariates = module.map_covariates(tensors, hidden.target)
    return module.regulation_decoder(module.expr_branch(genes, values), covariates, hidden.target)
