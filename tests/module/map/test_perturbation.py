"""A step of a regulator runs through the map as a loop over genes says, damped, and never back to where it was set.

Dimension key
    N  cells      G  genes      R  regulators      P  perturbed regulators
"""

import numpy as np
import pytest
import torch
from scipy.stats import rankdata
from sklearn.linear_model import LinearRegression

from scdual.module.map import MapCells, RegulationMap, Setting, draw, observe, reach, units, value_range

N, G = 300, 12
REGULATORS = [7, 2, 5, 0]
R = len(REGULATORS)


@pytest.fixture
def weight() -> torch.Tensor:
    weight = torch.randn(G, R) * 0.4
    weight[REGULATORS, range(R)] = 0
    return weight


@pytest.fixture
def cells() -> MapCells:
    log_rate = 0.5 * torch.randn(N, 2) @ torch.randn(2, G) + 0.4 * torch.randn(N, G)
    log_rate[:, 9] = 1.5 * log_rate[:, 2]
    return MapCells(torch.poisson((1 + log_rate).exp()), torch.ones(N, 1))


def fitted(cells: MapCells, denoised_weight: float | None) -> RegulationMap:
    module = RegulationMap(G, regulators=REGULATORS, denoised_weight=denoised_weight, n_embed=8, n_heads=2)
    module.fit(halves(cells))
    return module.eval()


def halves(cells: MapCells) -> list[MapCells]:
    return [MapCells(cells.counts[part], cells.covariates[part]) for part in torch.arange(N).split(170)]


def by_loops(weight: np.ndarray, value_unit: np.ndarray, perturbed: int, rounds: int) -> np.ndarray:
    """Return the change of all targets, wave by wave, for a step of one."""
    among = weight[REGULATORS] * value_unit[:, None]
    among[perturbed] = 0
    among *= 0.5 / max(1, np.linalg.norm(among, 2))
    wave = np.eye(R)[perturbed]
    total = weight @ wave
    for _ in range(rounds):
        wave = np.array([sum(among[j, i] * wave[i] for i in range(R)) for j in range(R)])
        total = total + weight @ wave
    return total


@pytest.mark.parametrize("rounds", [0, 1, 3])
def test_reach_agrees_with_loops(weight: torch.Tensor, rounds: int) -> None:
    unit, index = torch.rand(R) + 0.5, torch.tensor(REGULATORS)
    found = reach(weight, unit, index, [1, 3], rounds=rounds)
    assert found.direct.shape == found.indirect.shape == (G, 2)
    alone = reach(weight, unit, index, [1], rounds=rounds)
    expected = by_loops(weight.numpy(), unit.numpy(), 1, rounds)
    np.testing.assert_allclose((alone.direct + alone.indirect)[:, 0], expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(alone.direct[:, 0], weight[:, 1])
    assert bool(alone.indirect.any()) == (rounds > 0)


def test_nothing_echoes_back_to_a_perturbed_gene() -> None:
    mutual = torch.zeros(3, 2)
    mutual[0, 1] = mutual[1, 0] = 0.9  # genes 0 and 1 act on each other, gene 2 on neither
    mutual[2, 1] = 0.5
    found = reach(mutual, torch.ones(2), torch.tensor([0, 1]), [0], rounds=20)
    assert found.others[0, 0] == 0
    assert found.others[1, 0] == pytest.approx(0.45)  # half of what reaches it directly, once
    assert found.indirect[:, 0].tolist() == pytest.approx([0.9 * 0.45, 0, 0.5 * 0.45])
    both = reach(mutual, torch.ones(2), torch.tensor([0, 1]), [0, 1], rounds=20)
    assert not both.others.any()


def test_rounds_converge_however_strong_the_map(weight: torch.Tensor) -> None:
    unit, index = torch.ones(R), torch.tensor(REGULATORS)
    sums = [reach(50 * weight, unit, index, [0], rounds=rounds).others for rounds in range(12)]
    sizes = [float((after - before).norm()) for before, after in zip(sums, sums[1:], strict=False)]
    assert all(later <= 0.5 * earlier * 1.001 for earlier, later in zip(sizes, sizes[1:], strict=False))
    assert sizes[0] <= 0.5


@pytest.mark.parametrize("rounds", [0, 2])
def test_draws_scatter_around_the_reach_by_the_standard_deviations(weight: torch.Tensor, rounds: int) -> None:
    unit, index = torch.ones(R), torch.tensor(REGULATORS)
    found = reach(weight, unit, index, [1, 3], rounds=rounds)
    given = {"rounds": rounds, "n_draws": 400, "generator": torch.Generator().manual_seed(0)}
    step = torch.tensor([-2.0, 1.0])
    exact = draw(weight, torch.zeros_like(weight), unit, index, {1: -2.0, 3: 1.0}, **given)
    torch.testing.assert_close(exact[0, 7], found.direct @ step)
    torch.testing.assert_close(exact[1, 7], (found.direct + found.indirect) @ step)
    sd = 0.1 * torch.rand(G, R)
    direct, whole = draw(weight, sd, unit, index, {1: -2.0, 3: 1.0}, **given)
    expected = ((sd * (weight != 0))[:, [1, 3]] * step).square().sum(1).sqrt()
    torch.testing.assert_close(direct.std(0), expected, rtol=0.2, atol=1e-6)
    assert bool((whole != direct).any()) == (rounds > 0)


@pytest.mark.parametrize("denoised_weight", [0.0, None])
def test_what_cells_show_agrees_with_all_cells_at_once(cells: MapCells, denoised_weight: float | None) -> None:
    module = fitted(cells, denoised_weight)
    settings = [Setting(1), Setting(0, factor=2.0), Setting(3, factor=1.0), Setting(2, level=4.0)]
    found = observe(module.values, halves(cells), settings)
    log = module.values.log_expr(cells).double()
    torch.testing.assert_close(found.mean_log, log.mean(0))
    torch.testing.assert_close(found.mean_count, log.expm1().mean(0))
    slope = [np.polyfit(log[:, j], log[:, j].expm1(), 1)[0] for j in range(G)]
    np.testing.assert_allclose(found.count_slope, slope, rtol=1e-5)
    old = log[:, [2, 7, 0, 5]]
    new = torch.stack([0 * old[:, 0], (2 * old[:, 1].expm1()).log1p(), old[:, 2], torch.full((N,), np.log(5.0))], 1)
    torch.testing.assert_close(found.own_log, (new - old).mean(0), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.own_count, (new.expm1() - old.expm1()).mean(0), rtol=1e-4, atol=1e-5)
    values = module.values.of_regulators(module.values.log_expr(cells))
    torch.testing.assert_close(found.value, values[:, [1, 0, 3, 2]])
    torch.testing.assert_close(found.set_value[:, 2], found.value[:, 2])  # once is as it was
    assert (found.set_value[:, 0] <= found.value[:, 0] + 1e-6).all()
    assert (found.set_value[:, 1] >= found.value[:, 1] - 1e-6).all()
    limits = value_range(module.values, halves(cells), [1, 0])
    torch.testing.assert_close(limits, torch.stack([values[:, [1, 0]].amin(0), values[:, [1, 0]].amax(0)]))


def test_without_denoising_a_knock_out_is_the_rank_of_zero(cells: MapCells) -> None:
    module = fitted(cells, 0.0)
    found = observe(module.values, halves(cells), [Setting(1)])
    log = module.values.log_expr(cells)[:, 2].numpy()
    assert (log == 0).any()
    ranks = rankdata(log)
    lowest = (ranks[log == 0][0] - ranks.mean()) / ranks.std()
    torch.testing.assert_close(found.set_value[:, 0], torch.full((N,), float(lowest)), rtol=0.1, atol=0.05)


def test_log_units_are_those_of_a_regression_on_the_prediction(cells: MapCells) -> None:
    module = fitted(cells, 0.0)
    found = observe(module.values, halves(cells), [Setting(1)])
    weight = module.known.weight
    log = module.values.log_expr(cells)
    v, y = module.values.of_all(log)
    depth = np.hstack([cells.covariates, module.values.scale.depth(cells.counts)])

    def free(values: torch.Tensor) -> np.ndarray:
        fit = LinearRegression(fit_intercept=False).fit(depth, values)
        return values.numpy() - fit.predict(depth)

    prediction = free(v) @ weight.T.numpy()
    expected = (free(log) * prediction).sum(0) / (free(y) * prediction).sum(0)
    is_told = weight.any(1).numpy() & (expected < module.values.scale.std.numpy())
    assert is_told.sum() > 3
    known = units(module.values, found.moments, weight)
    limit = module.values.scale.std.double() * module.values.mixture.target_std
    np.testing.assert_allclose(known.log, limit, rtol=1e-5)  # without denoising, both limits are one
    np.testing.assert_allclose(expected[is_told], known.log[is_told], rtol=0.25)


def test_denoised_values_move_further_than_observed_ones(cells: MapCells) -> None:
    module = fitted(cells, 2.0)
    found = observe(module.values, halves(cells), [Setting(1)])
    known = units(module.values, found.moments, module.known.weight)
    upper = module.values.scale.std.double() * module.values.mixture.target_std
    assert (known.log <= upper + 1e-9).all()
    assert (known.log >= upper / 3 - 1e-9).all()
    assert (known.value > 0).all()
