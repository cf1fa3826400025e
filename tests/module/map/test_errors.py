"""Standard errors of the linear start: as a loop computes them, and as far as independent cells differ."""

import numpy as np
import pytest
import torch

import scdual
from scdual.module.map import MapCells, RegulationMap
from scdual.module.map._start import LinearStart, fit_values, linear_start


def cells_of(counts: np.ndarray, size: int = 128) -> list[MapCells]:
    given = torch.tensor(counts, dtype=torch.float32)
    return [MapCells(part, torch.ones(len(part), 1)) for part in given.split(size)]


def start_of(counts: np.ndarray, regulators: list[int]) -> tuple[RegulationMap, LinearStart]:
    torch.manual_seed(0)
    found = RegulationMap(counts.shape[1], regulators=regulators)
    batches = cells_of(counts)
    sample = fit_values(found.values, found.hiding, found.expr_embedding, batches, found.settings)
    return found, linear_start(
        found.values, batches, sample, penalty=found.hiding.penalty, min_cells=3, settings=found.settings
    )


@pytest.fixture(scope="module")
def simulated() -> tuple[np.ndarray, list[int]]:
    adata = scdual.datasets.simulate(2_000, 120, n_regulators=12)
    return adata.X.toarray(), np.flatnonzero(adata.var["regulator"]).tolist()


def test_they_are_those_of_a_loop_over_cells() -> None:
    rng, regulators = np.random.default_rng(0), [0, 3, 20, 31, 39]
    log_rate = 1 + 0.6 * rng.normal(size=(60, 2)) @ rng.normal(size=(2, 40))
    log_rate[:, 20:30] = -2.5
    log_rate[5] = np.where(
        np.arange(40) // 10 == 2, 2.4, 0.0
    )  # a cell with a component of its own, as deep as the others
    counts = rng.poisson(np.exp(log_rate.clip(max=6)))
    found, start = start_of(counts, regulators)
    values, mixture, penalty = found.values, found.values.mixture, found.hiding.penalty
    batches = cells_of(counts, len(counts))
    with torch.no_grad():
        log_expr = values.log_expr(batches[0])
        given = {
            "v": values.of_regulators(log_expr),
            "y": values.of_all(log_expr)[1],
            "o": values.scale.rank_score(log_expr, torch.arange(40)),
            "z": values.scale.standardise(log_expr) @ mixture.components.T,
            "u": values.covariates(batches[0]),
        }
    part = {name: matrix.double().numpy() for name, matrix in given.items()}
    part["d"] = part["z"] * mixture.shrinkage.numpy() @ mixture.components.numpy()
    fit = np.linalg.pinv(part["u"])
    free = {name: matrix - part["u"] @ (fit @ matrix) for name, matrix in part.items()}
    n, w, gain = len(counts), float(mixture.weight), (mixture.gain / mixture.std).numpy()
    inverse = np.linalg.inv(free["v"].T @ free["v"] / n + penalty * np.eye(len(regulators)))
    lift = mixture.shrinkage.numpy() / np.maximum((free["z"] ** 2).mean(0), 1e-9)
    weight = start.weight.double().numpy()
    leverage = (free["z"] ** 2) @ lift / n
    noise = (free["o"] - free["d"]) / np.maximum(1 - leverage, 0.01)[:, None]
    score = free["z"].T @ (free["y"] - free["v"] @ weight.T) / n
    a = free["v"] @ inverse + w * (free["z"] * lift) @ (free["z"].T @ free["v"] @ inverse) / n
    e = noise / mixture.target_std.numpy()
    f = noise[:, regulators] * gain @ inverse
    g = (free["z"] * lift) @ score
    expected = np.empty_like(weight)
    for j in range(40):
        for i in range(len(regulators)):
            own = sum(a[b, i] ** 2 * e[b, j] ** 2 for b in range(n))
            independent = (a[:, i] ** 2).sum() * (e[:, j] ** 2).sum() / n
            expected[j, i] = (max(own, independent) + (f[:, i] ** 2 * g[:, j] ** 2).sum()) / n**2
    assert leverage.max() > 0.3
    np.testing.assert_allclose(start.variance.numpy(), expected, rtol=1e-4)


def test_independent_halves_of_the_cells_differ_by_their_errors(simulated: tuple[np.ndarray, list[int]]) -> None:
    counts, regulators = simulated
    (_, one), (_, other) = (start_of(half, regulators) for half in (counts[::2], counts[1::2]))
    z = (one.weight - other.weight) / (one.variance + other.variance).sqrt()
    is_pair = one.weight != 0
    assert 0.85 < float(z[is_pair].square().mean().sqrt()) < 1.15


def test_without_regulation_no_pair_is_left(simulated: tuple[np.ndarray, list[int]]) -> None:
    counts, regulators = simulated
    permuted = np.random.default_rng(0).permuted(counts, axis=0)
    real, noise = start_of(counts, regulators)[1].posterior, start_of(permuted, regulators)[1].posterior
    assert noise.weight.square().mean().sqrt() < real.weight.square().mean().sqrt() / 20
    assert (real.support > 0.95).sum() > 50
    assert not (noise.support > 0.95).any()


def test_two_cells_that_meet_by_chance_are_no_edge(simulated: tuple[np.ndarray, list[int]]) -> None:
    counts, regulators = simulated[0].copy(), simulated[1]
    target = next(gene for gene in range(counts.shape[1]) if gene not in regulators)
    counts[:, [regulators[0], target]] = 0
    counts[:2, [regulators[0], target]] = 3
    _, start = start_of(counts, regulators)
    strength = start.posterior.weight.abs()
    assert start.weight[target].abs().argmax() == 0  # in the ridge it is the regulator of this gene
    assert strength[target, 0] < strength.max() / 5
