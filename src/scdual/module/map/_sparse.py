r"""Do few regulators decide a gene, or many a little? A sparse regression, and which of the two other cells bear out.

Inside tensors row = target, column = regulator.

Dimension key
    G  genes      R  regulators      T  targets that are not solved yet      L  effects
"""

from typing import NamedTuple

import torch

from scdual.module.map._adaptive_ridge import adaptive_ridge
from scdual.module.map._blocks import row_blocks
from scdual.module.map._moments import Moments

_FIRST_VARIANCE = 0.2  # of an effect, share of the target's variance, before the data say more; susieR's
_LEAST_NOISE = 0.01  # share of a target's variance: in what regulators explain whole, nothing would be uncertain
_TOLERANCE = 1e-3  # of the coefficients, in units of the target's standard deviation
_MAX_STEPS = 50
_TINY = 1e-30


class Products(NamedTuple):
    """Correlations over cells, free of covariates, and what brings coefficients back to the units of the values."""

    gram: torch.Tensor  # of the regulators with each other, (R, R)
    cross: torch.Tensor  # of genes with regulators, (G, R)
    std: torch.Tensor  # of the genes, (G,)
    regulator_std: torch.Tensor  # (R,)
    n_cells: int

    @classmethod
    def of(cls, moments: Moments) -> "Products":
        """Return those of moments; what covariates explain whole correlates with nothing."""
        gram, cross = moments.partial()
        regulator_varies, varies = moments.varies()
        std = torch.where(varies, moments.variance().clamp_min(0).sqrt(), torch.inf)
        regulator_std = torch.where(regulator_varies, gram.diagonal().clamp_min(0).sqrt(), torch.inf)
        return cls(
            gram / regulator_std / regulator_std[:, None],
            (cross / regulator_std[:, None] / std).T.contiguous(),
            std,
            regulator_std,
            moments.n_cells,
        )

    def of_targets(self, target: torch.Tensor) -> "Products":
        """Return those of some targets ``(T,)``."""
        return self._replace(cross=self.cross[target], std=self.std[target])

    def explained(self, weight: torch.Tensor) -> torch.Tensor:
        """Return which share of each target's variance weights ``(G, R)`` explain, if rightly scaled, shape ``(G,)``.

        The scale is left open, for a penalty makes weights smaller without making them worse. What goes the wrong way
        explains nothing.
        """
        product, square = (weight * self.cross).sum(1), ((weight @ self.gram) * weight).sum(1)
        return product.clamp_min(0).square() / square.clamp_min(_TINY)


def evenly_ranked(strength: torch.Tensor, n_targets: int) -> torch.Tensor:
    """Return so many targets of evenly spaced ranks in ``strength`` ``(G,)``, whatever the order of the genes."""
    ranked = strength.argsort(stable=True)
    places = torch.linspace(0, len(ranked) - 1, min(n_targets, len(ranked)), dtype=torch.float64, device=ranked.device)
    return ranked[places.round().long()]


def prefers_sparse(
    halves: tuple[Moments, Moments],
    target: torch.Tensor,
    regulator_index: torch.Tensor,
    *,
    penalty: float,
    n_effects: int,
) -> bool:
    """Return whether a sparse regression on half of the cells predicts the other half better than a ridge regression does.

    What each explains of the targets in the other half is compared, mean over targets.

    Parameters
    ----------
    halves
        Moments of observed values in two halves of the cells.
    target
        Positions of the targets that decide, shape ``(T,)``.
    regulator_index
        Positions of the regulators among the genes, shape ``(R,)``.
    penalty
        Ridge penalty.
    n_effects
        Number ``L`` of effects.
    """
    products = [Products.of(half).of_targets(target) for half in halves]
    is_pair = target[:, None] != regulator_index
    by_sparse = by_ridge = 0.0
    for own, other in (products, products[::-1]):
        sparse = sum_of_single_effects(own, is_pair=is_pair, n_effects=n_effects)
        everywhere, nothing = torch.full_like(sparse, penalty), torch.zeros_like(sparse)
        ridge = adaptive_ridge(own.gram, own.cross, everywhere, start=nothing, is_pair=is_pair)
        by_sparse += float(other.explained(sparse).sum())
        by_ridge += float(other.explained(ridge).sum())
    return by_sparse > by_ridge


def sparse_map(moments: Moments, *, is_pair: torch.Tensor, n_effects: int) -> torch.Tensor:
    """Return a sparse regression of every gene on the regulators, in the units of the values, shape ``(G, R)``.

    Parameters
    ----------
    moments
        Moments of observed values.
    is_pair
        False for coefficients that are zero, shape ``(G, R)``.
    n_effects
        Number ``L`` of effects.
    """
    products = Products.of(moments)
    scale = torch.where(products.std.isinf(), 0.0, products.std)
    weight = sum_of_single_effects(products, is_pair=is_pair, n_effects=n_effects)
    return weight.mul_(scale[:, None]).div_(products.regulator_std)


def sum_of_single_effects(products: Products, *, is_pair: torch.Tensor, n_effects: int) -> torch.Tensor:
    r"""Return posterior means of coefficients if a few regulators decide a gene, shape ``(G, R)``.

    The coefficients of a target are a sum of L vectors, each zero but for one regulator, whose place is uniformly and
    whose size normally distributed :cite:p:`Wang20`. One vector after the other is regressed on what the others leave: with the
    covariance :math:`r_i` of regulator i with that, noise :math:`\sigma^2` and n cells,

    .. math::
        \alpha_i \propto \sqrt{\frac{s^2}{s^2 + V}} \exp \left( \frac{r_i^2}{2 s^2} \frac{V}{s^2 + V} \right), \qquad
        w_i = \sum_l \alpha_{li} \, \frac{V_l}{s^2 + V_l} \, r_{li}, \qquad s^2 = \sigma^2 / n

    until nothing changes. The variance V of each effect and :math:`\sigma^2` are estimated along with it. An effect that is
    less likely than none is left out. All of it needs correlations alone :cite:p:`Zou22`.

    Parameters
    ----------
    products
        Correlations of regulators with each other and with the targets.
    is_pair
        False for coefficients that are zero, shape ``(G, R)``.
    n_effects
        Number ``L`` of effects.
    """
    weight = torch.zeros_like(products.cross)
    for rows in row_blocks(len(weight), n_effects * len(products.gram)):
        weight[rows] = _solve(products.gram, products.cross[rows], is_pair[rows], products.n_cells, n_effects)
    return weight


class _Effects(NamedTuple):
    """What is known about the effects on the targets that are not solved yet."""

    mean: torch.Tensor  # of the coefficients of each effect, (L, T, R)
    image: torch.Tensor  # what it makes of the correlations with the regulators, (L, T, R)
    square: torch.Tensor  # mean of the squared coefficients, summed over regulators, (L, T)
    variance: torch.Tensor  # before the data, (L, T)
    noise: torch.Tensor  # of the target, (T,)

    def of(self, target: torch.Tensor) -> "_Effects":
        mean, image, square, variance = (part[:, target] for part in self[:-1])
        return _Effects(mean, image, square, variance, self.noise[target])


def _solve(
    gram: torch.Tensor, cross: torch.Tensor, is_pair: torch.Tensor, n_cells: int, n_effects: int
) -> torch.Tensor:
    weight, places = torch.zeros_like(cross), torch.arange(len(cross), device=cross.device)
    none = cross.new_zeros(n_effects, *cross.shape)
    first = cross.new_full((n_effects, len(cross)), _FIRST_VARIANCE)
    effects = _Effects(none, none, torch.zeros_like(first), first, cross.new_ones(len(cross)))
    prior = torch.where(is_pair, 0.0, -torch.inf).to(cross)
    prior -= prior.logsumexp(1, keepdim=True).clamp_min(0)  # a target without a regulator has none to choose
    for _ in range(_MAX_STEPS):
        effects = _step(gram, cross[places], prior[places], n_cells, effects)
        found = effects.mean.sum(0)
        is_open = (found - weight[places]).abs().amax(1) > _TOLERANCE  # what is solved stays as it is
        weight[places] = found
        places, effects = places[is_open], effects.of(is_open)
        if not len(places):
            break
    return weight


def _step(gram: torch.Tensor, cross: torch.Tensor, prior: torch.Tensor, n_cells: int, effects: _Effects) -> _Effects:
    """Return all effects, each fitted once to what the others leave."""
    mean, image, square, variance = (part.clone() for part in effects[:-1])
    error, left = (effects.noise / n_cells)[:, None], cross - image.sum(0)
    for own, _ in enumerate(mean):
        left += image[own]
        share = variance[own][:, None] / (variance[own][:, None] + error)
        evidence = prior + 0.5 * (left.square() / error * share + (1 - share).log())
        chance = evidence.softmax(1).nan_to_num(0.0)
        is_likely = evidence.logsumexp(1) > 0
        squares = (chance * ((share * left).square() + share * error)).sum(1)
        variance[own], square[own] = squares.clamp_min(_TINY), squares * is_likely
        mean[own] = chance * share * left * is_likely[:, None]
        torch.mm(mean[own], gram, out=image[own])
        left -= image[own]
    total = mean.sum(0)
    noise = 1 - (total * (cross + left)).sum(1) + square.sum(0) - (mean * image).sum((0, 2))
    return _Effects(mean, image, square, variance, noise.clamp(_LEAST_NOISE, 1.0))
