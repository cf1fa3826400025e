"""What the map learns from the cells before its first step.

Inside tensors row = target, column = regulator.

Dimension key
    B  cells      G  genes      R  regulators      U  covariate columns, depth included
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch

from scdual.module.map._count_range import CountRange
from scdual.module.map._errors import squared_errors
from scdual.module.map._hiding import Hiding
from scdual.module.map._moments import Moments, View, collect_halves, collect_moments
from scdual.module.map._posterior import Posterior, posterior_map
from scdual.module.map._ridge import correlation_over_noise, leave_one_out_ridge, shared_information
from scdual.module.map._sample import CellSample
from scdual.module.map._settings import MapSettings
from scdual.module.map._sparse import evenly_ranked, prefers_sparse, sparse_map
from scdual.module.map._values import MapCells, MapValues, cells_with_both
from scdual.nn import ExpressionEmbedding


class LinearStart(NamedTuple):
    """The best linear prediction of all genes, from their regulators and from covariates."""

    weight: torch.Tensor  # ridge estimates, (G, R)
    variance: torch.Tensor  # their squared standard errors, (G, R)
    effects: torch.Tensor  # of covariates, (U, G)
    posterior: Posterior  # what the errors leave of the estimates
    n_cells: torch.Tensor  # cells that express both genes, (G, R)


class FittedValues(NamedTuple):
    """What the values of the map were learnt from, and what that says about the start."""

    sample: CellSample  # the cells from which all but mean and spread was learnt
    is_sparse: bool  # whether they show that few regulators decide a gene


def observed_view(values: MapValues) -> View:
    """Return a view of observed values, standardised: of the regulators ``(B, R)`` and of all genes ``(B, G)``."""

    def observed(log_expr: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        standardised = values.scale.standardise(log_expr)
        return standardised[:, values.regulator_index], standardised

    return observed


@torch.no_grad()
def fit_values(
    values: MapValues,
    hiding: Hiding,
    embedding: ExpressionEmbedding,
    batches: Iterable[MapCells],
    settings: MapSettings,
) -> FittedValues:
    """Learn the scale of the values, the bins of the expression states, the share of visible regulators, and the mixture.

    Parameters
    ----------
    values, hiding, embedding
        The parts that learn.
    batches
        Minibatches of the cells, those of validation included; they are read twice.
    settings
        Tuned numbers.
    """
    scale, regulators = values.scale, values.regulator_index
    sample = CellSample(settings.moment_cells)
    values.fit_scale(sample.filled_by(batches), embedding, sample)
    halves = collect_halves(values, sample, observed_view(values))
    moments = halves[0].joined(halves[1])
    gram, cross = moments.partial()
    hiding.adapt(shared_information(gram, moments.n_cells))
    standardised = (scale.standardise(values.log_expr(cells)) for cells in sample)
    over_noise = correlation_over_noise(cross, regulators, moments.n_cells)
    values.mixture.fit(standardised, n_cells=moments.n_cells, over_noise=over_noise)
    target = evenly_ranked(cross.square().sum(0), settings.deciding_targets)
    penalty = max(hiding.penalty, settings.smallest_penalty)
    is_sparse = prefers_sparse(halves, target, regulators, penalty=penalty, n_effects=settings.n_effects)
    return FittedValues(sample, is_sparse)


@torch.no_grad()
def start_moments(values: MapValues, batches: Iterable[MapCells]) -> Moments:
    """Return moments of regulators and scores with all genes, and give the values of the map unit spread.

    Parameters
    ----------
    values
        Values whose scale and mixture have been learnt.
    batches
        Minibatches of the cells; they are read once.
    """
    mixture = values.mixture
    n_rows = values.n_regulators + len(mixture.components)
    moments = collect_moments(values, batches, values.with_scores, n_rows=n_rows)
    mixture.set_std(moments.std()[: values.n_regulators], moments.gene_std())
    unscaled = mixture.std.new_ones(len(mixture.components))
    return moments.scaled(torch.cat([mixture.std, unscaled]), mixture.target_std)


@torch.no_grad()
def linear_start(
    values: MapValues,
    batches: Iterable[MapCells],
    fitted: FittedValues,
    *,
    penalty: float,
    min_cells: int,
    settings: MapSettings,
) -> LinearStart:
    """Return the best linear prediction between the values of the map, with its errors and what they leave of it.

    Of a gene with the same count in all cells nothing is known: its values follow depth alone. Nor is of one that depth and
    covariates explain but for rounding, as they do in three cells.

    Parameters
    ----------
    values
        Values whose scale and mixture have been learnt.
    batches
        Minibatches of the cells, which tell how many express both genes of a pair; they are read once.
    fitted
        The cells that tell all else, which are read two or three times, and whether few regulators decide a gene.
    penalty
        Ridge penalty that hiding amounts to.
    min_cells
        Cells in which a regulator has to be expressed; of one in fewer cells nothing is known.
    settings
        Tuned numbers.
    """
    counts, sample = CountRange(values.scale.mean), fitted.sample
    moments = start_moments(values, counts.passing(sample))
    regulators = slice(values.n_regulators)
    gram, cross = moments.partial_gram()[regulators, regulators], moments.partial_cross(regulators)
    cross -= values.mixture.self_covariance()
    penalty = max(penalty, settings.smallest_penalty)
    exact = leave_one_out_ridge(gram, cross, values.regulator_index, penalty=penalty)
    effects = moments.effects(exact)
    varies, regulator_index = moments.varies()[1] & counts.varies(), values.regulator_index
    weight = exact.to(torch.float32, memory_format=torch.contiguous_format)  # the one copy that stays
    del exact
    variance = squared_errors(values, sample, moments, weight, penalty=penalty)
    del moments
    n_cells = cells_with_both(values, batches)
    is_seen = (n_cells[regulator_index].diagonal() >= min_cells) & varies[regulator_index] & varies[:, None]  # (G, R)
    estimate, sparse = weight * is_seen, None
    if fitted.is_sparse:
        observed = collect_moments(values, sample, observed_view(values))
        sparse = sparse_map(observed, is_pair=estimate != 0, n_effects=settings.n_effects)
    found = posterior_map(
        estimate, variance, gram, cross.T, penalty=penalty, least_share=settings.least_share, sparse=sparse
    )
    return LinearStart(weight, variance, effects, found, n_cells)
