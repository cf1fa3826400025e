r"""What follows from setting regulators by hand: how values change, round by round, and what that is in logarithms and counts.

Inside tensors row = target, column = regulator.

Dimension key
    B, C  cells      G  genes      R  regulators      P  perturbed regulators      U  covariates after one-hot coding
    K  draws
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch

from scdual.module.map._moments import Moments
from scdual.module.map._values import MapCells, MapValues

DAMPING = 0.5  # of each round, by which the sum of all rounds is finite; 1 changes the share of right directions by .01
_TINY = 1e-12


class Setting(NamedTuple):
    """What is done to one regulator: its expression is multiplied by a factor, or else set to a level."""

    regulator: int  # position among the regulators
    factor: float | None = None
    level: float = 0.0  # molecules in a cell of typical depth

    def of(self, log_expr: torch.Tensor) -> torch.Tensor:
        """Return log values as they are afterwards."""
        if self.factor is None:
            return torch.full_like(log_expr, self.level).log1p()
        return (self.factor * log_expr.expm1()).log1p()


class Observed(NamedTuple):
    """What cells show of regulators that are to be set, and of the genes that may follow."""

    moments: Moments  # of regulator values with values of genes, log values of genes, and values of regulators: 2G + R
    value: torch.Tensor  # of the perturbed regulators, (C, P)
    set_value: torch.Tensor  # afterwards, however far that is from what cells show, (C, P)
    mean_log: torch.Tensor  # (G,)
    mean_count: torch.Tensor  # at typical depth, (G,)
    count_slope: torch.Tensor  # counts per log value, (G,)
    own_log: torch.Tensor  # mean change of the perturbed genes themselves, (P,)
    own_count: torch.Tensor  # (P,)

    def std(self) -> torch.Tensor:
        """Return the spread of the regulator values, free of covariates, shape ``(R,)``."""
        return self.moments.partial()[0].diagonal().clamp_min(0).sqrt()


class Units(NamedTuple):
    """What a step of one in the value of a target is."""

    log: torch.Tensor  # in its log values, (G,)
    value: torch.Tensor  # in its value as a regulator, (R,)


class Reach(NamedTuple):
    """Change of values per step of each perturbed regulator."""

    direct: torch.Tensor  # of targets, (G, P)
    indirect: torch.Tensor  # of targets, by way of other regulators, (G, P)
    others: torch.Tensor  # of the regulators in between, (R, P)


@torch.no_grad()
def observe(values: MapValues, batches: Iterable[MapCells], settings: Sequence[Setting]) -> Observed:
    """Return what cells show of regulators that are to be set.

    Parameters
    ----------
    values
        Values of a fitted map.
    batches
        Minibatches of the cells; they are read once.
    settings
        What is to be done to ``P`` regulators.
    """
    n_genes, n_regulators, device = values.n_genes, values.n_regulators, values.regulator_index.device
    moments = Moments(n_regulators, 2 * n_genes + n_regulators, values.n_columns, device=device)
    perturbed = values.regulator_index[[setting.regulator for setting in settings]]
    sums = torch.zeros(4, n_genes, dtype=torch.float64, device=device)  # of log, count, log squared, log times count
    own = torch.zeros(2, len(settings), dtype=torch.float64, device=device)
    value, set_value = [], []
    for cells in batches:
        log_expr = values.log_expr(cells)
        of_regulators, of_genes = values.of_all(log_expr)
        moments.add(values.covariates(cells), of_regulators, torch.cat([of_genes, log_expr, of_regulators], dim=1))
        log, count = log_expr.double(), log_expr.double().expm1()
        sums += torch.stack([log.sum(0), count.sum(0), log.square().sum(0), (log * count).sum(0)])
        old = log_expr[:, perturbed]
        new = set_log(log_expr, values, settings)
        own += torch.stack([(new - old).double().sum(0), (new.expm1() - old.expm1()).double().sum(0)])
        value.append(of_regulators[:, [setting.regulator for setting in settings]])
        set_value.append(value[-1] + _value_change(values, log_expr, settings))
    log, count, square, product = sums / moments.n_cells
    slope = (product - log * count) / (square - log.square()).clamp_min(_TINY)
    own_log, own_count = own / moments.n_cells
    return Observed(moments, torch.cat(value), torch.cat(set_value), log, count, slope, own_log, own_count)


def set_log(log_expr: torch.Tensor, values: MapValues, settings: Sequence[Setting]) -> torch.Tensor:
    """Return the log values of the perturbed genes afterwards, shape ``(B, P)``, from log values ``(B, G)``."""
    columns = [setting.of(log_expr[:, values.regulator_index[setting.regulator]]) for setting in settings]
    return torch.stack(columns, dim=1)


def _value_change(values: MapValues, log_expr: torch.Tensor, settings: Sequence[Setting]) -> torch.Tensor:
    """Return the change of the values of perturbed regulators, ``(B, P)``: of what is observed, and of what is denoised."""
    scale, mixture = values.scale, values.mixture
    standardised = scale.standardise(log_expr)
    denoised = standardised - mixture.noise(standardised, standardised)
    columns = []
    for setting in settings:
        gene = values.regulator_index[setting.regulator]
        old = log_expr[:, gene, None]  # (B, 1)
        observed = scale.rank_score(setting.of(old), gene[None]) - scale.rank_score(old, gene[None])
        level = (scale.mean[gene] + scale.std[gene] * denoised[:, gene, None]).clamp_min(0)
        beneath = (setting.of(level) - level) / scale.std[gene]
        columns.append((observed + mixture.gain[setting.regulator] * beneath) / mixture.std[setting.regulator])
    return torch.cat(columns, dim=1)


@torch.no_grad()
def value_range(values: MapValues, batches: Iterable[MapCells], regulators: Sequence[int]) -> torch.Tensor:
    """Return the smallest and the largest value that cells show of some regulators, shape ``(2, P)``."""
    parts = [values.of_regulators(values.log_expr(cells))[:, list(regulators)] for cells in batches]
    together = torch.cat(parts)
    return torch.stack([together.amin(0), together.amax(0)])


def units(values: MapValues, moments: Moments, weight: torch.Tensor) -> Units:
    r"""Return what a step of one in the value of a target is, in its log values and in its value as a regulator.

    The value of a gene mixes an observed part with a denoised one, and a log value has neither ranks nor denoising. Where
    regulators move a gene, log value x and value y move together by

    .. math:: u_j = \frac{\mathrm{cov}(x_j, \hat y_j)}{\mathrm{cov}(y_j, \hat y_j)}

    with the prediction :math:`\hat y_j = W_j v`, both covariances without what the gene's own noise adds to regulators
    that are denoised by it. It lies between what it is for a gene that the components explain not at all and fully.

    Parameters
    ----------
    values
        Values of a fitted map.
    moments
        As in :class:`Observed`.
    weight
        The map, shape ``(G, R)``, per unit of the regulators' values.
    """
    mixture, std, regulators = values.mixture, values.scale.std.double(), values.regulator_index
    n_genes = values.n_genes
    target_std, regulator_std = mixture.target_std.double(), mixture.std.double()
    _, cross = moments.partial()
    variance = moments.variance()[:n_genes]
    noise = mixture.self_covariance().double() * variance * target_std  # of the observed value, (R, G)
    by_regulator = weight.double().T  # (R, G)

    def covariance(part: torch.Tensor, noise_part: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
        return (direction * (part - noise_part)).sum(0)

    of_value = covariance(cross[:, :n_genes], noise / target_std, by_regulator)
    of_log = covariance(cross[:, n_genes : 2 * n_genes], noise * std, by_regulator)
    of_regulator = covariance(
        cross[:, 2 * n_genes :], noise[:, regulators] / regulator_std, by_regulator[:, regulators]
    )
    unexplained, explained = target_std, target_std / (1 + mixture.weight)
    gain = mixture.gain.double()
    ends = torch.stack([unexplained[regulators], explained[regulators] * (1 + gain)]) / regulator_std
    return Units(
        _between(of_log, of_value, explained * std, unexplained * std),
        _between(of_regulator, of_value[regulators], ends.amin(0), ends.amax(0)),
    )


def _between(above: torch.Tensor, below: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Return a ratio within its limits; where the denominator tells nothing, the smaller limit."""
    ratio = torch.where(below > _TINY, above / below.clamp_min(_TINY), low)
    return torch.minimum(torch.maximum(ratio, low), high)


def reach(
    weight: torch.Tensor,
    value_unit: torch.Tensor,
    regulator_index: torch.Tensor,
    perturbed: Sequence[int],
    *,
    rounds: int,
) -> Reach:
    r"""Return how far a step of each perturbed regulator is felt.

    .. math:: \Delta y = W_P \, \delta + \sum_{k=1}^{K} W \, B^k_P \, \delta, \qquad
        B = \frac{1}{2} \; \frac{A}{\max(1, \lVert A \rVert_2)}

    with the map W, and A that of regulators on each other in units of their values, without edges onto perturbed genes: those
    stay where they were set, so nothing echoes back to them. As the largest singular value of B is at most 1/2, round k
    is at most :math:`2^{-k}` as strong as the step itself, and the sum converges with the number of rounds.

    Parameters
    ----------
    weight
        The map W, shape ``(G, R)``.
    value_unit
        That of :class:`Units`, shape ``(R,)``.
    regulator_index
        Positions of the regulators among the genes, shape ``(R,)``.
    perturbed
        Positions of the perturbed regulators among the regulators.
    rounds
        Number K of rounds by way of other regulators; 0 takes direct targets alone.
    """
    perturbed = list(perturbed)
    direct, others = weight[:, perturbed], weight.new_zeros(weight.shape[1], len(perturbed))
    if rounds:
        among = among_regulators(weight, value_unit, regulator_index, perturbed)
        among = among * (DAMPING / max(1.0, float(torch.linalg.matrix_norm(among, 2))))
        others = _rounds(among, perturbed, torch.eye(len(perturbed), dtype=weight.dtype, device=weight.device), rounds)
    return Reach(direct, weight @ others, others)


def among_regulators(
    weight: torch.Tensor, value_unit: torch.Tensor, regulator_index: torch.Tensor, perturbed: Sequence[int]
) -> torch.Tensor:
    """Return what regulators do to each other's values, shape ``(R, R)``; perturbed ones stay as they are."""
    among = weight[regulator_index] * value_unit[:, None]
    among[list(perturbed)] = 0.0
    return among


def _rounds(among: torch.Tensor, perturbed: list[int], step: torch.Tensor, rounds: int) -> torch.Tensor:
    """Return the change of all regulators in between, of steps ``(P, ...)`` of the perturbed ones."""
    wave = among[:, perturbed] @ step
    total = wave
    for _ in range(rounds - 1):
        wave = among @ wave
        total = total + wave
    return total


def draw(
    weight: torch.Tensor,
    sd: torch.Tensor,
    value_unit: torch.Tensor,
    regulator_index: torch.Tensor,
    step: dict[int, float],
    *,
    rounds: int,
    n_draws: int,
    generator: torch.Generator,
) -> torch.Tensor:
    """Return direct and whole changes of targets under maps drawn from the posterior, shape ``(2, K, G)``.

    Parameters
    ----------
    weight, sd
        Mean and standard deviation of every pair, each ``(G, R)``; pairs are drawn independently.
    value_unit, regulator_index, rounds
        As in :func:`reach`, with its damping.
    step
        Change of each perturbed regulator, by its position among the regulators.
    n_draws
        Number K of maps.
    generator
        Source of chance, on the CPU.
    """
    perturbed = list(step)
    change = weight.new_tensor(list(step.values()))
    among = among_regulators(weight, value_unit, regulator_index, perturbed)
    damping = DAMPING / max(1.0, float(torch.linalg.matrix_norm(among, 2))) if rounds else 0.0
    columns = slice(None) if rounds else perturbed
    mean, spread = weight[:, columns], sd[:, columns] * (weight[:, columns] != 0)
    direct, whole = [], []
    for _ in range(n_draws):
        drawn = mean + spread * torch.randn(mean.shape, generator=generator).to(mean)
        direct.append((drawn[:, perturbed] if rounds else drawn) @ change)
        whole.append(direct[-1])
        if rounds:
            between = damping * among_regulators(drawn, value_unit, regulator_index, perturbed)
            whole[-1] = direct[-1] + drawn @ _rounds(between, perturbed, change, rounds)
    return torch.stack([torch.stack(direct), torch.stack(whole)])
