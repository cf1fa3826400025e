"""The regulatory map of a group of cells.

Inside tensors row = target, column = regulator.

Dimension key
    B  cells      G  genes      R  regulators
"""

from collections.abc import Iterable

import torch

from scdual.module.map._blocks import row_blocks
from scdual.module.map._count_range import CountRange
from scdual.module.map._influence import InfluenceSums
from scdual.module.map._moments import ROUNDING, Moments, View, collect_moments
from scdual.module.map._posterior import Posterior, excess_variance
from scdual.module.map._ridge import correlation_over_noise, leave_one_out_ridge
from scdual.module.map._settings import DEFAULT_SETTINGS, MapSettings
from scdual.module.map._values import MapCells, MapValues


@torch.no_grad()
def group_map(
    values: MapValues,
    batches: Iterable[MapCells],
    of_all: Posterior,
    *,
    shuffler: torch.Generator | None = None,
    settings: MapSettings = DEFAULT_SETTINGS,
) -> Posterior:
    r"""Return the map of a group of cells, which departs from that of all cells as far as the group's cells ask for it.

    .. math::
        \Delta = \arg\min_\Delta \; \frac{1}{n} \sum_b \lVert y_b - (W^0 + \Delta) v_b \rVert^2
        + \lambda \lVert \Delta \rVert^2, \qquad \lambda = \frac{1}{m - 1}, \qquad
        I^g_{ji} = \mathrm{sd}_g(v_i) \left( W^0_{ji} + \frac{\tau^2}{\tau^2 + s_{ji}^2} \Delta_{ji} \right)

    with the values y of genes and v of regulators free of covariates, among the n cells of the group, and the map
    :math:`W^0` of all cells. The penalty is that of the posterior mean if departures have the variance that they seem
    to have: m is n times the mean squared correlation of a regulator with what :math:`W^0` leaves unexplained of a
    gene, which is 1 in pure noise (then nothing departs) and grows with the cells :cite:p:`Morris83`. Each departure is then
    shrunk by its own standard error s, of which the cells that decide it tell, toward 0; :math:`\tau^2` is the mean
    square of departures beyond their errors. A regulator that has the same count in all cells of the
    group, such as none, has no weight, nor has one that does not vary there beyond covariates and depth.

    Parameters
    ----------
    values
        Values of a trained map.
    batches
        Minibatches of the group's cells; they are read twice, in one order.
    of_all
        What is known of all cells: :math:`W^0` with its standard deviations.
    shuffler
        Generator, on the CPU, of an order in which the regulators of one cell are paired with the targets of another,
        which leaves only noise; None pairs those of the same cell.
    settings
        Tuned numbers.
    """
    regulators, counts = values.regulator_index, CountRange(values.scale.mean)

    def view(log_expr: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        of_regulators, of_genes = values.of_all(log_expr)
        if shuffler is not None:
            of_genes = of_genes[torch.randperm(len(of_genes), generator=shuffler).to(of_genes.device)]
        return of_regulators, of_genes

    order = torch.empty(0) if shuffler is None else shuffler.get_state()
    moments = collect_moments(values, counts.passing(batches), view)
    gram, variance = moments.partial_gram(), moments.variance()
    unexplained, correlation = _unexplained(values, moments, of_all, gram, variance)
    over_noise = correlation_over_noise(correlation, regulators, moments.n_cells)
    del correlation
    estimate = None
    if over_noise > 1:
        penalty = max(1 / (over_noise - 1), settings.smallest_penalty)
        departure = leave_one_out_ridge(gram, unexplained, regulators, penalty=penalty)  # (G, R)
        del unexplained
        if shuffler is not None:
            shuffler.set_state(order)  # the same pairs of cells again
        weight = departure.T + of_all.weight.T
        estimate = departure, _squared_errors(values, batches, moments, view, weight, penalty=penalty).T
        del weight
    std = torch.where(moments.varies()[0] & counts.varies()[regulators], gram.diagonal(), 0.0).sqrt()
    return _departed(of_all, estimate, std)


def _unexplained(
    values: MapValues, moments: Moments, of_all: Posterior, gram: torch.Tensor, variance: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return products of regulators with what the map of all cells leaves of genes, and their correlation, each ``(R, G)``.

    The correlation is nan where a gene does not vary.
    """
    unexplained, own = moments.partial_cross(), values.mixture.self_covariance()
    correlation = torch.empty_like(own)
    regulator_varies, gene_varies = moments.varies()
    for genes in row_blocks(*of_all.weight.shape):
        weight = of_all.weight[genes].double().T  # (R, genes)
        cross = unexplained[:, genes] - own[:, genes] * variance[genes]
        rest = cross - gram @ weight
        left = variance[genes] - (weight * (cross + rest)).sum(0)  # variance of a gene around its prediction
        varies = regulator_varies[:, None] & gene_varies[genes] & (left > ROUNDING * variance[genes])
        correlation[:, genes] = torch.where(varies, rest / (gram.diagonal()[:, None] * left).sqrt(), torch.nan).float()
        unexplained[:, genes] = rest
    return unexplained, correlation


def _departed(of_all: Posterior, estimate: tuple[torch.Tensor, torch.Tensor] | None, std: torch.Tensor) -> Posterior:
    """Return the map of a group whose regulators have spreads ``std`` ``(R,)``.

    Parameters
    ----------
    of_all
        Map of all cells.
    estimate
        How the group departs from it and the squared errors of that, each ``(G, R)``; None if it does not.
    std
        Spread of the regulators in the group, 0 for those that say nothing.
    """
    found = Posterior(*(torch.zeros_like(part, dtype=torch.float32) for part in of_all))
    prior = std.new_zeros(()) if estimate is None else excess_variance(*estimate)
    for genes in row_blocks(*of_all.weight.shape):
        weight, sd, support = (part[genes].double() for part in (of_all.weight, of_all.sd, of_all.support))
        if estimate is not None:
            departure, error = (part[genes] for part in estimate)
            share = prior / (prior + error + ROUNDING**2) * (departure != 0)
            weight, sd = weight + share * departure, (sd.square() + share * error).sqrt()
            support = torch.special.ndtr(weight.abs() / sd.clamp_min(ROUNDING)) * (weight != 0)
        z = weight / sd.clamp_min(ROUNDING)
        for kept, part in zip(found, (weight * std, sd * std, support * (std > 0), z * (std > 0)), strict=True):
            kept[genes] = part.float()
    return found


def _squared_errors(
    values: MapValues,
    batches: Iterable[MapCells],
    moments: Moments,
    view: View,
    weight: torch.Tensor,
    *,
    penalty: float,
) -> torch.Tensor:
    """Return squared standard errors of departures, shape ``(R, G)``, from what weights ``(R, G)`` leave unexplained.

    They allow for noise that is not the same in all cells :cite:p:`White80`, and are at least as large as if it were.
    """
    effect = moments.total_effects()
    n_regulators = len(weight)
    gram = moments.partial_gram()
    inverse = torch.linalg.inv(gram + penalty * torch.eye(n_regulators, dtype=gram.dtype, device=gram.device))
    sums = InfluenceSums(*weight.shape, like=weight)
    for cells in batches:
        covariates = values.covariates(cells).double()
        of_regulators, of_genes = view(values.log_expr(cells))
        free = of_regulators.double() - covariates @ effect[:, :n_regulators]
        sums.add(free @ inverse, of_genes.double() - covariates @ effect[:, n_regulators:] - free @ weight)
    return sums.variance()
