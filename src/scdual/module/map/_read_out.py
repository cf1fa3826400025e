"""Read maps off a trained map: pure functions of a map and cells that return arrays.

In tensors and in these arrays row = target, column = regulator.

Dimension key
    G  genes      R  regulators      T  targets of one chunk
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import torch

from scdual.module.map._correlation import residual_correlation
from scdual.module.map._group import group_map
from scdual.module.map._regulation_map import RegulationMap
from scdual.module.map._values import MapCells


class MeanMaps(NamedTuple):
    """The maps that depend on cells, averaged over them, each ``(G, R)``."""

    regulation: np.ndarray  # signed influence, what a prior says left out
    attention: np.ndarray


@torch.inference_mode()
def mean_maps(regulation_map: RegulationMap, batches: Iterable[MapCells]) -> MeanMaps:
    """Return signed influence and attention averaged over cells."""
    genes = _all_genes(regulation_map)
    shape = regulation_map.n_genes, regulation_map.n_regulators
    mean = MeanMaps(np.zeros(shape), np.zeros(shape))
    n_cells = 0
    for cells in batches:
        values = regulation_map.regulator_values(regulation_map.values.log_expr(cells))
        n_cells += len(cells.counts)
        for target in genes.split(regulation_map.settings.target_chunk):
            maps = regulation_map.maps(values, target)
            rows = target.cpu().numpy()
            mean.regulation[rows] += len(cells.counts) * maps.regulation.cpu().numpy()
            mean.attention[rows] += len(cells.counts) * maps.attention.cpu().numpy()
    return MeanMaps(mean.regulation / n_cells, mean.attention / n_cells)


@torch.inference_mode()
def gate(regulation_map: RegulationMap) -> np.ndarray:
    """Return the signed gate, 0 between a gene and itself, shape ``(G, R)``; it is the same in all cells."""
    genes = _all_genes(regulation_map)
    return (regulation_map.gate_of(genes) * regulation_map.keep_mask(genes)).double().cpu().numpy()


@torch.inference_mode()
def group_maps(
    regulation_map: RegulationMap,
    groups: Mapping[str, Iterable[MapCells]],
    regulation: np.ndarray,
    *,
    shuffle_seed: int | None = None,
) -> dict[str, np.ndarray]:
    """Return the regulation of each group of cells, what a prior says left out, each ``(G, R)``.

    Parameters
    ----------
    regulation_map
        A trained map.
    groups
        Minibatches of the cells of each group, by its name.
    regulation
        Signed influence over the cells of all groups, from which a group departs, shape ``(G, R)``.
    shuffle_seed
        Seed of an order in which the regulators of one cell are paired with the targets of another; None pairs those of
        the same cell. See :func:`group_map`.
    """
    of_all = torch.as_tensor(regulation, device=regulation_map.regulator_index.device)
    maps = {}
    for name, batches in groups.items():
        shuffler = None if shuffle_seed is None else torch.Generator().manual_seed(shuffle_seed)
        found = group_map(regulation_map.values, batches, of_all, shuffler=shuffler, settings=regulation_map.settings)
        maps[name] = found.cpu().numpy()
    return maps


@torch.inference_mode()
def correlation(regulation_map: RegulationMap, batches: Iterable[MapCells]) -> np.ndarray:
    """Return correlations of ranks free of covariates and depth, shape ``(G, R)``; see :func:`residual_correlation`."""
    return residual_correlation(regulation_map.values, batches).cpu().numpy()


def with_prior(regulation_map: RegulationMap, regulation: np.ndarray) -> np.ndarray:
    """Return a map ``(G, R)``, of another map as well, with what the prior of this one says; see :func:`prior_factor`."""
    factor = regulation_map.prior_factor
    return regulation if factor is None else regulation * factor.cpu().numpy()


def _all_genes(regulation_map: RegulationMap) -> torch.Tensor:
    return torch.arange(regulation_map.n_genes, device=regulation_map.regulator_index.device)
