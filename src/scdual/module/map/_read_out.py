"""Read maps off a trained map: pure functions of a map and cells that return arrays.

In tensors and in these arrays row = target, column = regulator.

Dimension key
    G  genes      R  regulators
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import torch

from scdual.module.map._correlation import residual_correlation
from scdual.module.map._group import group_map
from scdual.module.map._posterior import Posterior
from scdual.module.map._regulation_map import RegulationMap
from scdual.module.map._values import MapCells, cells_with_both


class Pairs(NamedTuple):
    """What is known about the pairs of a map, what a prior says included, each ``(G, R)``."""

    weight: np.ndarray
    sd: np.ndarray
    support: np.ndarray
    z: np.ndarray
    n_cells: np.ndarray  # that express both genes


@torch.inference_mode()
def gate(regulation_map: RegulationMap) -> np.ndarray:
    """Return the signed gate, 0 between a gene and itself, shape ``(G, R)``; it is the same in all cells."""
    genes = torch.arange(regulation_map.n_genes, device=regulation_map.regulator_index.device)
    parts = genes.split(regulation_map.settings.target_chunk)
    return torch.cat([regulation_map.gate_of(part) * regulation_map.keep_mask(part) for part in parts]).cpu().numpy()


@torch.inference_mode()
def known_pairs(regulation_map: RegulationMap, prior_factor: torch.Tensor | None = None) -> Pairs:
    """Return what is known from the cells that a map was fitted to, with what a prior says; see :func:`prior_factor`."""
    known = regulation_map.known
    return _pairs(known.posterior(), known.n_cells, prior_factor)


@torch.inference_mode()
def group_pairs(
    regulation_map: RegulationMap,
    groups: Mapping[str, Iterable[MapCells]],
    prior_factor: torch.Tensor | None = None,
    *,
    shuffle_seed: int | None = None,
) -> dict[str, Pairs]:
    """Return what is known about each group of cells.

    Parameters
    ----------
    regulation_map
        A fitted map, from which the groups depart.
    groups
        Minibatches of the cells of each group, by its name; they are read three times, in one order.
    prior_factor
        What a prior says, shape ``(G, R)``, see :func:`prior_factor`; None says nothing.
    shuffle_seed
        Seed of an order in which the regulators of one cell are paired with the targets of another; None pairs those of
        the same cell. See :func:`group_map`.
    """
    found = {}
    for name, batches in groups.items():
        shuffler = None if shuffle_seed is None else torch.Generator().manual_seed(shuffle_seed)
        posterior = group_map(
            regulation_map.values,
            batches,
            regulation_map.known.posterior(),
            shuffler=shuffler,
            settings=regulation_map.settings,
        )
        found[name] = _pairs(posterior, cells_with_both(regulation_map.values, batches), prior_factor)
    return found


def _pairs(posterior: Posterior, n_cells: torch.Tensor, prior_factor: torch.Tensor | None) -> Pairs:
    if prior_factor is not None:
        posterior = posterior._replace(weight=posterior.weight * prior_factor, sd=posterior.sd * prior_factor)
    return Pairs(*(values.cpu().numpy() for values in (*posterior, n_cells)))


@torch.inference_mode()
def correlation(regulation_map: RegulationMap, batches: Iterable[MapCells]) -> np.ndarray:
    """Return correlations of ranks free of covariates and depth, shape ``(G, R)``; see :func:`residual_correlation`."""
    return residual_correlation(regulation_map.values, batches).cpu().numpy()
