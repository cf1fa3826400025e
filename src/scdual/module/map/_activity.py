"""How active regulators are, and how strongly they are expressed, in units of cells.

Dimension key
    K  units      B  cells      G  genes      R  regulators
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch

from scdual.module.map._values import MapCells, MapValues

_LEAST_STD = 1e-6  # of something that varies: standardised log values have a standard deviation of 1 among all cells


class UnitMeans(NamedTuple):
    """Means over the cells of each unit, in standard deviations among cells of one unit."""

    mean: torch.Tensor  # (K, R)
    variance: torch.Tensor  # squared standard errors of the means, (K, R)
    n_independent: float  # how many regulators would be as informative if they had nothing to do with each other


def target_weights(weight: torch.Tensor, *, n_targets: int) -> torch.Tensor:
    """Return the weights of each regulator's strongest targets, the others 0, absolute ones adding up to 1, ``(G, R)``.

    Parameters
    ----------
    weight
        Weights, shape ``(G, R)``.
    n_targets
        Number of targets to keep.
    """
    strength = weight.abs()
    kept = strength.topk(min(n_targets, len(weight)), dim=0).indices
    mask = torch.zeros_like(weight, dtype=torch.bool).scatter(0, kept, value=True)
    chosen = weight * mask
    total = chosen.abs().sum(0)
    return chosen / torch.where(total > 0, total, 1.0)


@torch.no_grad()
def unit_activity(
    values: MapValues, units: Sequence[Iterable[MapCells]], targets: torch.Tensor
) -> tuple[UnitMeans, UnitMeans]:
    r"""Return mean activity and mean expression of the regulators in each unit.

    The activity of regulator i in cell b is :math:`a_{bi} = \sum_j w_{ji} z_{bj} / \sum_j |w_{ji}|`, with the weights w of its
    targets and the standardised log values z. In a unit in which no cell expresses a regulator its values have no spread,
    but its mean is not known exactly for that: its error is then taken from the spread in the other units.

    Parameters
    ----------
    values
        Values of a fitted map.
    units
        Minibatches of the cells of each unit; they are read once.
    targets
        Weights of the targets, shape ``(G, R)``.
    """
    weight = targets.double()
    sums = [_sums(values, batches, weight) for batches in units]
    n_regulators = weight.shape[1]
    return tuple(
        _means([(n, total[part], square[part, part]) for n, total, square in sums])
        for part in (slice(n_regulators), slice(n_regulators, None))
    )  # type: ignore[return-value]


def _sums(
    values: MapValues, batches: Iterable[MapCells], weight: torch.Tensor
) -> tuple[int, torch.Tensor, torch.Tensor]:
    """Return the number of cells, and sums ``(2R,)`` and products ``(2R, 2R)`` of activities and expression."""
    n_rows = 2 * weight.shape[1]
    n, total, square = 0, weight.new_zeros(n_rows), weight.new_zeros(n_rows, n_rows)
    for cells in batches:
        value = values.scale.standardise(values.log_expr(cells)).double()
        rows = torch.cat([value @ weight, value[:, values.regulator_index]], dim=1)
        n, total, square = n + len(rows), total + rows.sum(0), square + rows.T @ rows
    return n, total, square


def _means(sums: list[tuple[int, torch.Tensor, torch.Tensor]]) -> UnitMeans:
    size = torch.tensor([float(n) for n, _, _ in sums], dtype=torch.float64, device=sums[0][1].device)[:, None]
    mean = torch.stack([total / n for n, total, _ in sums])
    scatter = torch.stack([square - torch.outer(total, total) / n for n, total, square in sums])  # (K, R, R)
    within = scatter.sum(0) / (size.sum() - len(sums)).clamp_min(1)
    std = within.diagonal().clamp_min(0).sqrt()
    std = torch.where(std > _LEAST_STD, std, 1.0)
    spread = scatter.diagonal(dim1=1, dim2=2) / (size - 1).clamp_min(1) / std.square()
    variance = torch.where(spread > _LEAST_STD**2, spread, 1.0) / size
    correlation = within / std / std[:, None]
    n_independent = float(correlation.diagonal().sum() ** 2 / correlation.square().sum().clamp_min(1e-12))
    return UnitMeans(mean / std, variance, n_independent)
