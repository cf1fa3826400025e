"""Maps averaged over cells are those that the branch gives for all cells at once, whatever the minibatches.

Dimension key
    N  cells      G  genes      R  regulators
"""

import numpy as np
import pytest
import torch

from scdual.module.map import MapCells, MapSettings, RegulationMap, mean_attention, mean_influence
from scdual.nn import NetworkMaps

N, G = 40, 9
REGULATORS = [7, 2, 5]


@pytest.fixture
def cells() -> MapCells:
    rate = (0.5 * torch.randn(N, 2) @ torch.randn(2, G)).exp()
    return MapCells(torch.poisson(5 * rate), torch.ones(N, 1))


def fitted(cells: MapCells, n_layers: int) -> RegulationMap:
    """Return a map whose attention and gain differ between pairs and states, as after training."""
    settings = MapSettings(target_chunk=4)
    regulation_map = RegulationMap(G, regulators=REGULATORS, n_embed=8, n_layers=n_layers, settings=settings)
    regulation_map.fit([cells])
    with torch.no_grad():
        for parameter in regulation_map.expr_branch.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return regulation_map.eval()


def at_once(regulation_map: RegulationMap, cells: MapCells) -> NetworkMaps:
    with torch.no_grad():
        values = regulation_map.regulator_values(regulation_map.values.log_expr(cells))
        return regulation_map.maps(values, torch.arange(G))


@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize("n_per_batch", [7, N])
def test_maps_are_means_over_cells_whatever_the_minibatches(cells: MapCells, n_layers: int, n_per_batch: int) -> None:
    regulation_map = fitted(cells, n_layers)
    expected = at_once(regulation_map, cells)
    parts = zip(cells.counts.split(n_per_batch), cells.covariates.split(n_per_batch), strict=True)
    batches = [MapCells(*rows) for rows in parts]
    assert expected.attention.std() > 0.05
    np.testing.assert_allclose(mean_attention(regulation_map, batches), expected.attention, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(mean_influence(regulation_map, batches), expected.regulation, rtol=1e-4, atol=1e-6)


def test_attention_is_that_of_a_loop_over_cells(cells: MapCells) -> None:
    """Softmax over the regulators that are visible on average, cell by cell, with the logits written out."""
    regulation_map = fitted(cells, 1)
    branch, share = regulation_map.expr_branch.blocks[0], float(regulation_map.hiding.visible_share)
    with torch.no_grad():
        genes = regulation_map.context(torch.arange(G))
        state = regulation_map.regulator_values(regulation_map.values.log_expr(cells)).state
        query = branch.gene_query_proj(genes.target_state) + branch.expr_query_proj(genes.expr_states[-1])
        key = branch.gene_key_up_proj(branch.down_proj(genes.regulator_state))
        of_state = branch.expr_key_proj(genes.expr_states)
        expected = np.zeros((G, len(REGULATORS)))
        for cell in range(N):
            for target in range(G):
                keys = torch.stack([key + of_state[state[cell]], key + of_state[-1]])  # seen, hidden
                logits = branch.scale * (query[target] * keys).unflatten(-1, (branch.n_heads, -1)).sum(-1)
                score = logits.exp() * genes.keep_mask[target, :, None]  # (2, R, H)
                total = share * score[0].sum(0) + (1 - share) * score[1].sum(0)
                expected[target] += (score[0] / total).mean(-1).numpy() / N
    np.testing.assert_allclose(mean_attention(regulation_map, [cells]), expected, rtol=1e-4, atol=1e-6)
