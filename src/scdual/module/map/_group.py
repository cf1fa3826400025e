"""The regulatory map of a group of cells.

Inside tensors row = target, column = regulator.

Dimension key
    B  cells      G  genes      R  regulators
"""

from collections.abc import Iterable

import torch

from scdual.module.map._moments import ROUNDING, collect_moments
from scdual.module.map._ridge import correlation_over_noise, leave_one_out_ridge
from scdual.module.map._settings import DEFAULT_SETTINGS, MapSettings
from scdual.module.map._values import MapCells, MapValues


@torch.no_grad()
def group_map(
    values: MapValues,
    batches: Iterable[MapCells],
    regulation: torch.Tensor,
    *,
    shuffler: torch.Generator | None = None,
    settings: MapSettings = DEFAULT_SETTINGS,
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
    values
        Values of a trained map.
    batches
        Minibatches of the group's cells; they are read once.
    regulation
        The map of all cells, :math:`W^0`, shape ``(G, R)``.
    shuffler
        Generator, on the CPU, of an order in which the regulators of one cell are paired with the targets of another,
        which leaves only noise; None pairs those of the same cell.
    settings
        Tuned numbers.
    """
    regulators = values.regulator_index
    is_expressed = torch.zeros(len(regulators), dtype=torch.bool, device=regulators.device)

    def view(log_expr: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        is_expressed.logical_or_((log_expr[:, regulators] > 0).any(0))
        of_regulators, of_genes = values.of_all(log_expr)
        if shuffler is not None:
            of_genes = of_genes[torch.randperm(len(of_genes), generator=shuffler).to(of_genes.device)]
        return of_regulators, of_genes

    moments = collect_moments(values, batches, view)
    weight = regulation.double().T  # (R, G)
    gram, cross = moments.partial()
    variance = moments.variance()
    cross = cross - values.mixture.self_covariance() * variance
    unexplained = cross - gram @ weight
    left = variance - (weight * (cross + unexplained)).sum(0)  # variance of a gene around its prediction
    regulator_varies, gene_varies = moments.varies()
    has_correlation = regulator_varies[:, None] & gene_varies & (left > ROUNDING * variance)
    correlation = torch.where(has_correlation, unexplained / (gram.diagonal()[:, None] * left).sqrt(), torch.nan)
    over_noise = correlation_over_noise(correlation, regulators, moments.n_cells)
    if over_noise > 1:
        penalty = max(1 / (over_noise - 1), settings.smallest_penalty)
        weight = weight + leave_one_out_ridge(gram, unexplained, regulators, penalty=penalty).T
    std = torch.where(regulator_varies & is_expressed, gram.diagonal(), 0.0).sqrt()
    return (weight * std[:, None]).T.float()
