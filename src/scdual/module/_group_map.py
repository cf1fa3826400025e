"""The regulatory map of a group of cells.

Inside tensors row = target, column = regulator.

Dimension key
    B  cells      G  genes      R  regulators
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch

from scdual.module._fit import SMALLEST_PENALTY, collect_moments, map_values
from scdual.module._warm_start import correlation_signal, leave_one_out_ridge

if TYPE_CHECKING:
    from scdual.module._module import SCDualModule

Tensors = dict[str, torch.Tensor]
_CONSTANT = 1e-9  # a variance below it


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
    gene, which is 1 in pure noise (then nothing departs) and grows with the cells :cite:p:`Morris83`.

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

    def view(log_expr: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
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
    spread = (gram.diagonal()[:, None] * left).sqrt()
    correlation = torch.where(spread > _CONSTANT, unexplained / spread, torch.nan)
    signal = correlation_signal(correlation, module.regulator_index, moments.n_cells)
    if signal > 1:
        penalty = max(1 / (signal - 1), SMALLEST_PENALTY)
        known = known + leave_one_out_ridge(gram, unexplained, module.regulator_index, penalty=penalty).T
    std = torch.where(gram.diagonal() > _CONSTANT, gram.diagonal(), 0.0).sqrt()
    return (known * std[:, None]).T.float()
