"""Maps are read off as means over cells; the gate needs no cells."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from scdual.module.map import DEFAULT_SETTINGS, MapCells, MapSettings, RegulationMap, gate, mean_maps, with_prior

N, G = 40, 9
REGULATORS = [7, 2, 5]


@pytest.fixture
def cells() -> MapCells:
    rate = (0.5 * torch.randn(N, 2) @ torch.randn(2, G)).exp()
    return MapCells(torch.poisson(5 * rate), torch.ones(N, 1))


def fitted(cells: MapCells, **kwargs: object) -> RegulationMap:
    regulation_map = RegulationMap(G, regulators=REGULATORS, n_embed=8, **kwargs)
    regulation_map.fit([cells])
    return regulation_map.eval()


def test_maps_are_means_over_cells_whatever_the_minibatches(cells: MapCells) -> None:
    regulation_map = fitted(cells, settings=MapSettings(target_chunk=4))
    with torch.no_grad():
        values = regulation_map.regulator_values(regulation_map.values.log_expr(cells))
        expected = regulation_map.maps(values, torch.arange(G))
    batches = [MapCells(*rows) for rows in zip(cells.counts.split(7), cells.covariates.split(7), strict=True)]
    found = mean_maps(regulation_map, batches)
    np.testing.assert_allclose(found.regulation, expected.regulation, atol=1e-6)
    np.testing.assert_allclose(found.attention, expected.attention, atol=1e-6)


def test_the_gate_is_read_without_the_other_maps(cells: MapCells, monkeypatch: pytest.MonkeyPatch) -> None:
    regulation_map = fitted(cells)
    monkeypatch.setattr(RegulationMap, "maps", lambda *_: pytest.fail("maps were computed"))
    found = gate(regulation_map)
    expected = regulation_map.context(torch.arange(G)).gate.detach().numpy().copy()
    expected[REGULATORS, range(3)] = 0
    np.testing.assert_allclose(found, expected, atol=1e-7)
    assert np.abs(found).max() > 0


def test_a_prior_multiplies_and_without_one_nothing_changes(cells: MapCells) -> None:
    regulation = np.arange(27.0).reshape(G, 3)
    assert with_prior(fitted(cells), regulation) is regulation
    prior = {"prior_strength": torch.ones(G, 3), "prior_sign": torch.zeros(G, 3)}
    regulation_map = RegulationMap(G, regulators=REGULATORS, n_embed=8, **prior)
    regulation_map.prior_factor.fill_(2.0)
    np.testing.assert_array_equal(with_prior(regulation_map, regulation), 2 * regulation)


def test_every_tuned_number_says_what_it_does() -> None:
    for field in fields(DEFAULT_SETTINGS):
        assert f"    {field.name}" in MapSettings.__doc__ or f", {field.name}\n" in MapSettings.__doc__, field.name
