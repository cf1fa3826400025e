"""Ridge regression with a penalty for each pair, for all genes at once.

Inside tensors row = target, column = regulator.

Dimension key
    G  genes      R  regulators
"""

from typing import NamedTuple

import torch

_TINY = 1e-30


def adaptive_ridge(
    gram: torch.Tensor,
    cross: torch.Tensor,
    penalty: torch.Tensor,
    *,
    start: torch.Tensor,
    is_pair: torch.Tensor,
    tolerance: float = 1e-5,
    max_steps: int = 100,
) -> torch.Tensor:
    """Return ridge coefficients with a penalty for each pair, shape ``(G, R)``, by conjugate gradients for all genes at once.

    Parameters
    ----------
    gram, cross
        Mean products of the regulators ``(R, R)`` and of genes with regulators ``(G, R)``.
    penalty
        Penalties, positive, shape ``(G, R)``.
    start
        Where to begin, shape ``(G, R)``.
    is_pair
        False for coefficients that are zero, shape ``(G, R)``.
    tolerance
        Size of the last residual, relative to that of the right side.
    max_steps
        Steps after which to stop at the latest.
    """
    weight = start * is_pair
    state = _conjugate_start(weight, gram, cross, penalty, is_pair)
    goal = tolerance**2 * ((cross * is_pair).square() / (gram.diagonal() + penalty)).sum(1, keepdim=True)
    places = torch.arange(len(weight), device=weight.device)
    for _ in range(max_steps):
        is_open = (state.square > goal)[:, 0]  # what is solved stays as it is, whatever genes stand beside it
        if not is_open.all():
            state, goal, places = _Conjugate(*(part[is_open] for part in state)), goal[is_open], places[is_open]
        if not len(places):
            break
        image = _apply(state, gram, state.direction)
        step = state.square / (state.direction * image).sum(1, keepdim=True).clamp_min(_TINY)
        weight[places] += step * state.direction
        residual = state.residual - step * image
        scaled = residual / (gram.diagonal() + state.penalty)
        square = (residual * scaled).sum(1, keepdim=True)
        direction = scaled + square / state.square.clamp_min(_TINY) * state.direction
        state = state._replace(residual=residual, direction=direction, square=square)
    return weight


class _Conjugate(NamedTuple):
    """Where conjugate gradients stand, for the genes that are not solved yet."""

    residual: torch.Tensor  # (rows, R)
    direction: torch.Tensor  # (rows, R)
    square: torch.Tensor  # of the residual, (rows, 1)
    penalty: torch.Tensor  # (rows, R)
    is_pair: torch.Tensor  # (rows, R)


def _conjugate_start(
    weight: torch.Tensor, gram: torch.Tensor, cross: torch.Tensor, penalty: torch.Tensor, is_pair: torch.Tensor
) -> _Conjugate:
    residual = (cross - weight @ gram - penalty * weight) * is_pair
    direction = residual / (gram.diagonal() + penalty)
    square = (residual * direction).sum(1, keepdim=True)
    return _Conjugate(residual, direction, square, penalty, is_pair)


def _apply(state: _Conjugate, gram: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return (weight @ gram).addcmul_(state.penalty, weight).mul_(state.is_pair)
