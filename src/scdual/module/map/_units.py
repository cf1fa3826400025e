r"""How the map differs between units, each of them the cells of one condition, or of one donor in one condition.

Inside tensors row = target, column = regulator.

Dimension key
    K  units      B  cells      G  genes      R  regulators      U  covariates after one-hot coding
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch

from scdual.module.map._influence import InfluenceSums
from scdual.module.map._moments import Moments, collect_moments
from scdual.module.map._ridge import leave_one_out_ridge
from scdual.module.map._values import MapCells, MapValues

_LEAST_FREEDOM = 0.05  # of a cell from the fit: one that a covariate describes alone has none


class UnitMaps(NamedTuple):
    """What sets the units apart, one estimate of every pair for each unit."""

    departure: torch.Tensor  # from the map of all units, (K, G, R)
    variance: torch.Tensor  # its squared standard errors, (K, G, R)
    n_expressing: torch.Tensor  # cells that express each gene, (K, G)


class _Unit(NamedTuple):
    moments: Moments
    std: torch.Tensor  # of the genes, (G,)
    gram: torch.Tensor  # (R, R)
    cross: torch.Tensor  # (R, G)
    n_expressing: torch.Tensor  # (G,)


@torch.no_grad()
def unit_maps(
    values: MapValues, units: Sequence[Iterable[MapCells]], of_all: torch.Tensor, *, penalty: float
) -> UnitMaps:
    r"""Return how the map of each unit departs from that of all units together, with its error.

    Values are centred in each unit and free of its covariates, and each gene has unit variance there, so that neither a
    mean nor a spread that differs makes an edge differ. With these values v and y, and their mean products
    :math:`S = \langle v v^T \rangle` over the cells of all units and :math:`S_k` over those of unit k,

    .. math::
        \bar W = W^0 + (S + \lambda)^{-1} \langle v (y - W^0 v)^T \rangle, \qquad
        \Delta_k = (S + \lambda)^{-1} \langle v (y - \bar W v)^T \rangle_k

    (transposed where the shapes ask for it; no gene predicts itself). One inverse serves all units, so a unit of few
    cells is not shrunk otherwise than a large one, and differences of :math:`\Delta_k` are free of what units share. The
    squared errors are sums over cells of :math:`((S + \lambda)^{-1} v)_i^2 (y - \bar W v)_j^2 / (1 - h)`, h the leverage of
    the cell :cite:p:`MacKinnon85`.

    Parameters
    ----------
    values
        Values of a fitted map.
    units
        Minibatches of the cells of each unit; they are read twice, in one order.
    of_all
        The map :math:`W^0` of all cells, shape ``(G, R)``.
    penalty
        Ridge penalty :math:`\lambda`, that of the map of all cells.
    """
    found = [_unit(values, batches) for batches in units]
    n_cells = sum(unit.moments.n_cells for unit in found)
    gram, cross = torch.zeros_like(found[0].gram), torch.zeros_like(found[0].cross)
    for unit in found:
        share = unit.moments.n_cells / n_cells
        gram, cross = gram + share * unit.gram, cross + share * unit.cross
    first = of_all.double().T  # (R, G)
    regulators = values.regulator_index
    weight = first + leave_one_out_ridge(gram, cross - gram @ first, regulators, penalty=penalty).T
    inverse = torch.linalg.inv(gram + penalty * torch.eye(len(gram), dtype=gram.dtype, device=gram.device))
    departures, variances = [], []
    for unit, batches in zip(found, units, strict=True):
        unexplained = unit.cross - unit.gram @ weight
        departures.append(leave_one_out_ridge(gram, unexplained, regulators, penalty=penalty).float())
        variances.append(_variance(values, batches, unit, weight, inverse, n_cells).T.float())
    return UnitMaps(torch.stack(departures), torch.stack(variances), torch.stack([unit.n_expressing for unit in found]))


def _unit(values: MapValues, batches: Iterable[MapCells]) -> _Unit:
    n_expressing = torch.zeros(values.n_genes, dtype=torch.int64, device=values.regulator_index.device)

    def view(log_expr: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        n_expressing.add_((log_expr > 0).sum(0))
        return values.of_all(log_expr)

    moments = collect_moments(values, batches, view)
    gram, cross = moments.partial()
    variance = moments.variance()
    std = torch.where(moments.varies()[1], variance.clamp_min(0), 1.0).sqrt()
    cross = (cross - values.mixture.self_covariance() * variance) / std
    return _Unit(moments, std, gram, cross, n_expressing)


def _variance(
    values: MapValues,
    batches: Iterable[MapCells],
    unit: _Unit,
    weight: torch.Tensor,
    inverse: torch.Tensor,
    n_cells: int,
) -> torch.Tensor:
    """Return the squared standard errors of the departures of a unit, shape ``(R, G)``."""
    effect, n_regulators = unit.moments.total_effects(), len(weight)
    n_covariates = unit.moments.n_covariates
    of_covariates = torch.linalg.pinv(unit.moments.gram[:n_covariates, :n_covariates], hermitian=True)
    sums = InfluenceSums(*weight.shape, like=weight)
    for cells in batches:
        covariates, log_expr = values.covariates(cells).double(), values.log_expr(cells)
        of_regulators, of_genes = values.of_all(log_expr)
        free = of_regulators.double() - covariates @ effect[:, :n_regulators]
        genes = (of_genes.double() - covariates @ effect[:, n_regulators:]) / unit.std
        influence = free @ inverse
        leverage = (influence * free).sum(1) / n_cells + ((covariates @ of_covariates) * covariates).sum(1)
        freedom = (1 - leverage).clamp_min(_LEAST_FREEDOM).sqrt()
        sums.add(influence, (genes - free @ weight) / freedom[:, None])
    return sums.variance()
