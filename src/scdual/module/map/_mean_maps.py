"""What the trained transformer does, averaged over cells.

The attention of a target on a regulator depends on a cell only by the expression state of the regulator and by a sum over
all regulators. So a mean over cells is a few products of matrices for each state, and no cell has a map of its own.

In tensors and in these arrays row = target, column = regulator.

Dimension key
    B  cells      G  genes      R  regulators      T  targets of one chunk
    H  heads      S  expression states: zero, bins, masked (the last)
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple, cast

import numpy as np
import torch

from scdual.module.map._regulation_map import RegulationMap
from scdual.module.map._values import MapCells
from scdual.nn._expression_branch import ExpressionBlock

_SMALLEST = 1e-12  # of a sum of exponentials


class _Targets(NamedTuple):
    """What no cell changes of some targets."""

    rows: slice
    pair: torch.Tensor  # (H, T, R), exp of the gene-gene logits
    factor: torch.Tensor  # (H, T, S), of the attention on a regulator in each state
    by_head: torch.Tensor  # (H, 1, R), what a head counts
    gate: torch.Tensor | None  # (T, R); None leaves it out


@torch.inference_mode()
def mean_attention(regulation_map: RegulationMap, batches: Iterable[MapCells]) -> np.ndarray:
    """Return the attention averaged over cells, shape ``(G, R)``."""
    return _mean(regulation_map, batches, "attention")


@torch.inference_mode()
def mean_influence(regulation_map: RegulationMap, batches: Iterable[MapCells]) -> np.ndarray:
    """Return the signed influence averaged over cells, what a prior says left out, shape ``(G, R)``."""
    return _mean(regulation_map, batches, "influence")


def _mean(
    regulation_map: RegulationMap, batches: Iterable[MapCells], kind: Literal["attention", "influence"]
) -> np.ndarray:
    shape = regulation_map.n_genes, regulation_map.n_regulators
    mean = torch.zeros(shape, device=regulation_map.regulator_index.device)
    n_cells = 0
    if len(regulation_map.expr_branch.blocks) > 1:  # attention differs from cell to cell
        for cells in batches:
            _add_maps(mean, regulation_map, cells, kind)
            n_cells += len(cells.counts)
        return mean.div_(n_cells).cpu().numpy()
    parts = [_targets(regulation_map, rows, kind) for rows in _chunks(regulation_map)]
    share = float(regulation_map.hiding.visible_share)
    for cells in batches:
        values = regulation_map.regulator_values(regulation_map.values.log_expr(cells))
        is_in_state = [(values.state == state).float() for state in range(parts[0].factor.shape[-1] - 1)]  # (B, R)
        counted = is_in_state if kind == "attention" else [each * values.value.square() for each in is_in_state]
        for targets in parts:
            mean[targets.rows] += _sum_over_cells(targets, is_in_state, counted, share)
        n_cells += len(cells.counts)
    for targets in parts:
        mean[targets.rows] *= 1.0 if targets.gate is None else targets.gate
    return mean.div_(n_cells).cpu().numpy()


def _sum_over_cells(
    targets: _Targets, is_in_state: list[torch.Tensor], counted: list[torch.Tensor], visible_share: float
) -> torch.Tensor:
    """Return the attention on visible regulators, summed over cells and heads, ``(T, R)``.

    It is that when each of the other regulators is visible with probability ``visible_share``, as in training.
    """
    pair, factor = targets.pair, targets.factor
    normaliser = ((1 - visible_share) * pair.sum(-1) * factor[..., -1])[..., None].repeat(1, 1, len(counted[0]))
    for state, cells in enumerate(is_in_state):
        normaliser += (pair @ cells.T).mul_(visible_share * factor[..., state, None])  # (H, T, B)
    share = normaliser.clamp_min_(_SMALLEST).reciprocal_()
    total = torch.zeros_like(pair)
    for state, cells in enumerate(counted):
        total += (share @ cells).mul_(factor[..., state, None])  # (H, T, R)
    return total.mul_(pair).mul_(targets.by_head).sum(0)


def _targets(regulation_map: RegulationMap, rows: slice, kind: str) -> _Targets:
    target = torch.arange(rows.start, rows.stop, device=regulation_map.regulator_index.device)
    genes = regulation_map.context(target)
    block = cast("ExpressionBlock", regulation_map.expr_branch.blocks[0])
    parts = block.fold_query(block.fuse(genes), genes.expr_states[-1])
    logits = block.scale * parts.gene_query @ parts.state_key.transpose(1, 2)  # (H, T, S)
    factor = torch.exp(logits - logits.amax(-1, keepdim=True))
    if kind == "influence":
        return _Targets(rows, parts.pair, factor, parts.gain, genes.gate)
    return _Targets(rows, parts.pair, factor, torch.ones_like(parts.gain) / len(parts.gain), None)


def _add_maps(mean: torch.Tensor, regulation_map: RegulationMap, cells: MapCells, kind: str) -> None:
    values = regulation_map.regulator_values(regulation_map.values.log_expr(cells))
    for rows in _chunks(regulation_map):
        target = torch.arange(rows.start, rows.stop, device=mean.device)
        maps = regulation_map.maps(values, target)
        mean[rows] += len(cells.counts) * (maps.attention if kind == "attention" else maps.regulation)


def _chunks(regulation_map: RegulationMap) -> list[slice]:
    step = regulation_map.settings.target_chunk
    return [slice(i, min(i + step, regulation_map.n_genes)) for i in range(0, regulation_map.n_genes, step)]
