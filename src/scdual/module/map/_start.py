"""What the map learns from the cells before its first step.

Inside tensors row = target, column = regulator.

Dimension key
    B  cells      G  genes      R  regulators      U  covariate columns, depth included
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch

from scdual.module.map._hiding import Hiding
from scdual.module.map._moments import collect_moments
from scdual.module.map._ridge import correlation_over_noise, leave_one_out_ridge, shared_information
from scdual.module.map._settings import MapSettings
from scdual.module.map._values import MapCells, MapValues
from scdual.nn import ExpressionEmbedding


class LinearStart(NamedTuple):
    """The best linear prediction of all genes, from their regulators and from covariates."""

    weight: torch.Tensor  # (G, R)
    effects: torch.Tensor  # (U, G)


@torch.no_grad()
def fit_values(
    values: MapValues,
    hiding: Hiding,
    embedding: ExpressionEmbedding,
    batches: Iterable[MapCells],
    settings: MapSettings,
) -> None:
    """Learn the scale of the values, the bins of the expression states, the share of visible regulators, and the mixture.

    Parameters
    ----------
    values, hiding, embedding
        The parts that learn.
    batches
        Minibatches of the cells, those of validation included; they are read several times.
    settings
        Tuned numbers.
    """
    scale, regulators = values.scale, values.regulator_index

    def observed(log_expr: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        standardised = scale.standardise(log_expr)
        return standardised[:, regulators], standardised

    values.fit_scale(batches, embedding)
    moments = collect_moments(values, batches, observed, n_enough=settings.moment_cells)
    gram, cross = moments.partial()
    hiding.adapt(shared_information(gram, moments.n_cells))
    standardised = (scale.standardise(values.log_expr(cells)) for cells in batches)
    over_noise = correlation_over_noise(cross, regulators, moments.n_cells)
    values.mixture.fit(standardised, n_cells=moments.n_cells, over_noise=over_noise)


@torch.no_grad()
def linear_start(
    values: MapValues, batches: Iterable[MapCells], *, penalty: float, settings: MapSettings
) -> LinearStart:
    """Return the best linear prediction between the values of the map, and give these unit spread.

    Parameters
    ----------
    values
        Values whose scale and mixture have been learnt.
    batches
        Minibatches of the cells; they are read once.
    penalty
        Ridge penalty that hiding amounts to.
    settings
        Tuned numbers.
    """
    moments = collect_moments(values, batches, values.of_all, n_enough=settings.moment_cells)
    values.mixture.set_std(moments.std(), moments.gene_std())
    moments = moments.scaled(values.mixture.std, values.mixture.target_std)
    gram, cross = moments.partial()
    cross = cross - values.mixture.self_covariance()
    penalty = max(penalty, settings.smallest_penalty)
    weight = leave_one_out_ridge(gram, cross, values.regulator_index, penalty=penalty).float()
    return LinearStart(weight, moments.effects(weight.double()))
