"""How regulators and genes vary together, one pair at a time.

Inside tensors row = target, column = regulator.

Dimension key
    B  cells      G  genes      R  regulators
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch

from scdual.module._fit import collect_moments

if TYPE_CHECKING:
    from scdual.module._module import SCDualModule


@torch.no_grad()
def residual_correlation(module: "SCDualModule", dataloader: Iterable[dict[str, torch.Tensor]]) -> torch.Tensor:
    """Return correlations of ranks free of covariates and depth, shape ``(G, R)``; 0 where a gene does not vary.

    Parameters
    ----------
    module
        A trained module, which has learnt the ranks.
    dataloader
        Minibatches of the cells; it is read once.
    """
    genes = torch.arange(module.n_input, device=module.device)

    def view(log_expr: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        rank = module.scale.rank_score(log_expr, genes)
        return rank[:, module.regulator_index], rank

    moments = collect_moments(module, dataloader, view)
    gram, cross = moments.partial()
    spread = (gram.diagonal()[:, None] * moments.variance()).clamp_min(0).sqrt()
    regulator_varies, gene_varies = moments.varies()
    return torch.where(regulator_varies[:, None] & gene_varies, cross / spread, 0.0).T.float()
