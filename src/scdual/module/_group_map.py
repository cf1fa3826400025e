"""The regulatory map of a group of cells.

Inside tensors row = target, column = regulator.

Dimension key
    B  cells      G  genes      R  regulators
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch

from scdual.module._fit import SMALLEST_PENALTY, collect_moments, map_values
from scdual.module._warm_start import ROUNDING, correlation_signal, leave_one_out_ridge

if TYPE_CHECKING:
    from scdual.module._module import SCDualModule

Tensors = dict[str, torch.Tensor]


@torch.no_grad()
def group_map(
    module: "SCDualModule", dataloader: Iterable[Tensors], regulation: torch.Tensor, *, shuffle: bool = False
) -> torch.Tensor:
    r"""Return the map of a group of cells, shape ``(G, R)``, which departs from a map as far as the cells ask for it.

    .. math::
        W^g = \arg\min_W \; \frac{1}{n} \sum_b \lVert y_b - W v_b \rVert^2 + \lambda \lVert W - W^0 \rVert^2,
        \qquad I^g_{ji} = \mathrm{sd}_g(v_i) \, W^g_{ji}, \qquad \lambda = \frac{1}{m - 1}

    with the values y of genes and v of regulators free of covariates, among the n cells of the group, and the map
    :math:`W^0` of all cells. The penalty is that of the posterior mean if departures have the variance that they seem
    to have: m is n times the mean squared correlation of a regulator with what :math:`W^0` leaves unexplained of a
    gene, which is 1 in pure noise (then nothing departs) and grows with the cells :cite:p:`Morris83`. A regulator that no
    cell of the group expresses has no weight, nor has one that does not vary there beyond covariates and depth.

    Parameters
    ----------
    module
        A trained module.
    dataloader
        Minibatches of the group's cells; it is read once.
    regulation
        The map of all cells, :math:`W^0`, shape ``(G, R)``.
    shuffle
        Whether to pair the regulators of one cell with the targets of another, which leaves only noise.
    """
    generator = torch.Generator().manual_seed(0)
    is_expressed = torch.zeros(len(module.regulator_index), dtype=torch.bool, device=module.device)

    def view(log_expr: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        is_expressed.logical_or_((log_expr[:, module.regulator_index] > 0).any(0))
        values, genes = map_values(module, log_expr)
        if shuffle:
            genes = genes[torch.randperm(len(genes), generator=generator).to(genes.device)]
        return values, genes

    moments = collect_moments(module, dataloader, view)
    known = regulation.double().T  # (R, G)
    gram, cross = moments.partial()
    own = module.mixture.own_share()
    variance = moments.variance()
    cross = cross - own * variance
    unexplained = cross - gram @ known
    left = variance - (known * (cross + unexplained)).sum(0)  # variance of a gene around its prediction
    regulator_varies, gene_varies = moments.varies()
    has_correlation = regulator_varies[:, None] & gene_varies & (left > ROUNDING * variance)
    correlation = torch.where(has_correlation, unexplained / (gram.diagonal()[:, None] * left).sqrt(), torch.nan)
    signal = correlation_signal(correlation, module.regulator_index, moments.n_cells)
    if signal > 1:
        penalty = max(1 / (signal - 1), SMALLEST_PENALTY)
        known = known + leave_one_out_ridge(gram, unexplained, module.regulator_index, penalty=penalty).T
    std = torch.where(regulator_varies & is_expressed, gram.diagonal(), 0.0).sqrt()
    return (known * std[:, None]).T.float()
