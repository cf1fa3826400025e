"""Departures of units agree with a loop by NumPy, and means or spreads of genes do not make them."""

import numpy as np
import pytest
import torch

from scdual.datasets import simulate
from scdual.module.map import MapCells, RegulationMap, target_weights, unit_activity, unit_maps
from scdual.module.map._activity import _means

N_GENES, N_CELLS = 24, 160


@pytest.fixture(scope="module")
def counts() -> torch.Tensor:
    return torch.as_tensor(simulate(N_CELLS, N_GENES, n_regulators=5, library_size=60).X.toarray())


@pytest.fixture(scope="module")
def fitted(counts: torch.Tensor) -> RegulationMap:
    torch.manual_seed(0)
    regulation_map = RegulationMap(N_GENES, regulators=[0, 3, 5, 8, 13])
    regulation_map.fit([cells_of(counts)])
    return regulation_map


def cells_of(counts: torch.Tensor) -> MapCells:
    return MapCells(counts, torch.ones(len(counts), 1))


def halves(counts: torch.Tensor) -> list[list[MapCells]]:
    return [[cells_of(counts[:70])], [cells_of(counts[70:])]]


def by_numpy(fitted: RegulationMap, counts: torch.Tensor, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """Return departures and squared errors, each ``(2, R, G)``."""
    values, regulators = fitted.values, fitted.regulator_index.numpy()
    first, own = fitted.known.weight.numpy().T.astype(float), values.mixture.self_covariance().numpy()
    parts = []
    for (cells,) in halves(counts):
        v, y = (part.double().numpy() for part in values.of_all(values.log_expr(cells)))
        u = values.covariates(cells).double().numpy()
        hat = u @ np.linalg.pinv(u)
        v, y = v - hat @ v, y - hat @ y
        std = y.std(axis=0)
        std[std < 1e-6] = 1
        parts.append((v, y / std, hat.diagonal(), own * (y.std(axis=0) ** 2 / std)))
    n = sum(len(v) for v, *_ in parts)
    gram = sum(v.T @ v for v, *_ in parts) / n
    cross = sum(v.T @ y - len(v) * s for v, y, _, s in parts) / n
    weight = first + one_at_a_time(gram, cross - gram @ first, regulators, penalty)
    inverse = np.linalg.inv(gram + penalty * np.eye(len(gram)))
    found = []
    for v, y, of_covariates, s in parts:
        m = len(v)
        departure = one_at_a_time(gram, (v.T @ y) / m - s - v.T @ v / m @ weight, regulators, penalty)
        influence = v @ inverse
        leverage = of_covariates + (influence * v).sum(axis=1) / n
        noise = (y - v @ weight) / np.sqrt(1 - leverage)[:, None]
        total = (influence**2).T @ noise**2
        independent = np.outer((influence**2).sum(axis=0), (noise**2).sum(axis=0)) / m
        found.append((departure, np.maximum(total, independent) / m**2))
    return tuple(np.stack(part) for part in zip(*found, strict=True))


def one_at_a_time(gram: np.ndarray, cross: np.ndarray, regulators: np.ndarray, penalty: float) -> np.ndarray:
    """Return ridge coefficients of each gene on all regulators but itself."""
    weight = np.zeros_like(cross)
    for gene in range(cross.shape[1]):
        keep = np.flatnonzero(regulators != gene)
        part = gram[np.ix_(keep, keep)] + penalty * np.eye(len(keep))
        weight[keep, gene] = np.linalg.solve(part, cross[keep, gene])
    return weight


def test_departures_and_errors_agree_with_a_loop(fitted: RegulationMap, counts: torch.Tensor) -> None:
    found = unit_maps(fitted.values, halves(counts), fitted.known.weight, penalty=0.7)
    departure, variance = by_numpy(fitted, counts, 0.7)
    np.testing.assert_allclose(found.departure.numpy().swapaxes(1, 2), departure, atol=1e-5)
    np.testing.assert_allclose(found.variance.numpy().swapaxes(1, 2), variance, rtol=1e-3, atol=1e-7)
    np.testing.assert_array_equal(found.n_expressing[0], (counts[:70] > 0).sum(0))


def test_minibatches_do_not_matter(fitted: RegulationMap, counts: torch.Tensor) -> None:
    whole = unit_maps(fitted.values, halves(counts), fitted.known.weight, penalty=0.7)
    cut = [[cells_of(part) for part in half[0].counts.split(30)] for half in halves(counts)]
    parts = unit_maps(fitted.values, cut, fitted.known.weight, penalty=0.7)
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other)


def test_the_same_cells_do_not_depart(fitted: RegulationMap, counts: torch.Tensor) -> None:
    found = unit_maps(fitted.values, [[cells_of(counts)], [cells_of(counts)]], fitted.known.weight, penalty=0.7)
    torch.testing.assert_close(found.departure[0], found.departure[1])


def test_activity_is_the_weighted_mean_of_targets(fitted: RegulationMap, counts: torch.Tensor) -> None:
    weight = torch.randn(N_GENES, 5, generator=torch.Generator().manual_seed(0))
    targets = target_weights(weight, n_targets=6)
    assert ((targets != 0).sum(0) == 6).all()
    torch.testing.assert_close(targets.abs().sum(0), torch.ones(5))
    activity, expression = unit_activity(fitted.values, halves(counts), targets)
    values = fitted.values
    z = values.scale.standardise(values.log_expr(cells_of(counts))).double().numpy()
    for found, score in ((activity, z @ targets.double().numpy()), (expression, z[:, fitted.regulator_index])):
        parts = score[:70], score[70:]
        scatter = sum(((part - part.mean(axis=0)) ** 2).sum(axis=0) for part in parts)
        std = np.sqrt(scatter / (N_CELLS - 2))
        np.testing.assert_allclose(
            found.mean[1] - found.mean[0], (parts[1].mean(0) - parts[0].mean(0)) / std, rtol=1e-4
        )
        np.testing.assert_allclose(found.variance[0], parts[0].var(axis=0, ddof=1) / std**2 / 70, rtol=1e-4)
        correlation = np.corrcoef(np.concatenate([part - part.mean(axis=0) for part in parts]).T)
        assert found.n_independent == pytest.approx(25 / (correlation**2).sum(), rel=1e-6)


def test_the_strongest_targets_are_those_of_either_sign() -> None:
    weight = torch.randn(N_GENES, 5, generator=torch.Generator().manual_seed(1))
    expected = np.zeros((N_GENES, 5))
    for regulator, column in enumerate(weight.numpy().T):
        strongest = sorted(range(N_GENES), key=lambda gene: -abs(column[gene]))[:6]
        expected[strongest, regulator] = column[strongest] / sum(abs(column[gene]) for gene in strongest)
    np.testing.assert_allclose(target_weights(weight, n_targets=6), expected, rtol=1e-5)
    assert (expected < 0).any()


def test_rounding_is_no_spread() -> None:
    """Sums of a value that is the same in all cells differ from it in their last digits."""
    total = torch.tensor([0.1] * 70 + [1e-15], dtype=torch.float64).sum()
    square = torch.tensor([0.01] * 70 + [1e-15], dtype=torch.float64).sum()
    found = _means([(70, total[None], square[None, None]), (90, total[None] * 9 / 7, square[None, None] * 9 / 7)])
    np.testing.assert_allclose(found.mean[:, 0], 0.1)
    np.testing.assert_allclose(found.variance[:, 0], [1 / 70, 1 / 90])


def test_regulators_without_targets_have_no_weights() -> None:
    assert not target_weights(torch.zeros(4, 2), n_targets=3).any()


def test_a_unit_without_a_regulator_is_not_sure_of_it(fitted: RegulationMap, counts: torch.Tensor) -> None:
    """The spread of a gene that a unit does not express is 0 there; its error is that of the typical unit."""
    counts = counts.clone()
    counts[:70, 3] = 0  # in the first half
    counts[:, 8] = 0  # in both
    expression = unit_activity(fitted.values, halves(counts), torch.zeros(N_GENES, 5))[1]
    np.testing.assert_allclose(expression.variance[:, 3], [1 / 70, 1 / 90])
    np.testing.assert_allclose(expression.variance[0, 1], 1 / 70)
    assert expression.variance[1, 1] > 1 / 90  # all of the spread within units is that of the second half
    np.testing.assert_allclose(expression.mean[0, 3], expression.mean[1, 3])
