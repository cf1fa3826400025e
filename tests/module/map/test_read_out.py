"""Maps are read off as means over cells; the gate needs no cells."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from scdual.module.map import (
    DEFAULT_SETTINGS,
    MapCells,
    MapSettings,
    RegulationMap,
    gate,
    group_map,
    group_pairs,
    known_pairs,
)

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


def test_the_gate_is_read_without_the_other_maps(cells: MapCells, monkeypatch: pytest.MonkeyPatch) -> None:
    regulation_map = fitted(cells)
    monkeypatch.setattr(RegulationMap, "maps", lambda *_: pytest.fail("maps were computed"))
    found = gate(regulation_map)
    expected = regulation_map.context(torch.arange(G)).gate.detach().numpy().copy()
    expected[REGULATORS, range(3)] = 0
    np.testing.assert_allclose(found, expected, atol=1e-7)
    assert np.abs(found).max() > 0


def test_a_prior_multiplies_weights_and_their_errors(cells: MapCells) -> None:
    regulation_map = fitted(cells)
    plain, told = known_pairs(regulation_map), known_pairs(regulation_map, torch.full((G, 3), 2.0))
    for name in ("weight", "sd"):
        np.testing.assert_array_equal(getattr(told, name), 2 * getattr(plain, name))
    for name in ("support", "z", "n_cells"):
        np.testing.assert_array_equal(getattr(told, name), getattr(plain, name))
    np.testing.assert_array_equal(plain.n_cells[4, 1], ((cells.counts[:, 4] > 0) & (cells.counts[:, 2] > 0)).sum())


@pytest.mark.parametrize("seed", [None, 3])
def test_the_map_of_a_group_has_the_settings_and_the_shuffled_order(cells: MapCells, seed: int | None) -> None:
    settings = replace(DEFAULT_SETTINGS, smallest_penalty=10.0)
    regulation_map = fitted(cells, settings=settings)
    shuffler = None if seed is None else torch.Generator().manual_seed(seed)
    known, group = regulation_map.known.posterior(), cells._replace(counts=cells.counts.roll(1, dims=1))  # it departs
    expected = group_map(regulation_map.values, [group], known, shuffler=shuffler, settings=settings)
    found = group_pairs(regulation_map, {"all": [group]}, shuffle_seed=seed)["all"]
    for name in ("weight", "sd", "support", "z"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    other = group_map(regulation_map.values, [group], known)
    assert not np.array_equal(found.z, other.z)


def test_every_tuned_number_says_what_it_does() -> None:
    for field in fields(DEFAULT_SETTINGS):
        assert f"    {field.name}" in MapSettings.__doc__ or f", {field.name}\n" in MapSettings.__doc__, field.name
