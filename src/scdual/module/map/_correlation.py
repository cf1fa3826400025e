"""How regulators and genes vary together, one pair at a time.

Inside tensors row = target, column = regulator.

Dimension key
    B  cells      G  genes      R  regulators
"""

from collections.abc import Iterable

import torch

from scdual.module.map._moments import collect_moments
from scdual.module.map._values import MapCells, MapValues


@torch.no_grad()
def residual_correlation(values: MapValues, batches: Iterable[MapCells]) -> torch.Tensor:
    """Return correlations of ranks free of covariates and depth, shape ``(G, R)``; 0 where a gene does not vary.

    Parameters
    ----------
    values
        Values of a trained map, which has learnt the ranks.
    batches
        Minibatches of the cells; they are read once.
    """
    regulators = values.regulator_index
    genes = torch.arange(values.n_genes, device=regulators.device)

    def view(log_expr: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        rank = values.scale.rank_score(log_expr, genes)
        return rank[:, regulators], rank

    moments = collect_moments(values, batches, view)
    gram, cross = moments.partial()
    spread = (gram.diagonal()[:, None] * moments.variance()).clamp_min(0).sqrt()
    regulator_varies, gene_varies = moments.varies()
    return torch.where(regulator_varies[:, None] & gene_varies, cross / spread, 0.0).T.float()
