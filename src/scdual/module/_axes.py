"""Measure the latent space by what a step in it does to expression.

Dimension key
    B  cells      G  genes      Z  latent dimensions
    U  covariates, the batch first: one-hot or as a learnt vector
"""

from collections.abc import Callable, Iterable
from functools import partial

import torch

from scdual.module._cell_state import CellState

_N_CELLS, _N_AT_ONCE = 1_000, 32


@torch.no_grad()
def fit_axes(
    cell_state: CellState, log_library_size: torch.Tensor, states: Iterable[tuple[torch.Tensor, torch.Tensor]]
) -> None:
    r"""Choose the coordinates of the embedding: axes :math:`A` that weigh the prior and decoded expression equally.

    .. math:: A A^\top = \frac{1}{2} \left( I + \frac{\mathrm{tr}(C)}{\mathrm{tr}(M C)} M \right)

    with the covariance C of the latent states, whose total variance is kept, and the metric M of
    :func:`expression_metric`. Nothing is done if the count decoder is frozen, has no finite derivative, or if the cells
    do not differ.

    Parameters
    ----------
    cell_state
        Trained encoder and count decoder.
    log_library_size
        Log of the library size at which expression is decoded.
    states
        Minibatches of latent states ``(B, Z)`` and covariates ``(B, U)``; the first 1,000 cells count.
    """
    axes, decoder = cell_state.axes, cell_state.decoder
    if not decoder.latent_proj.weight.requires_grad:
        return

    def log_expr(covariates: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return torch.log1p(log_library_size.exp() * decoder.proportion(decoder.hidden(z, covariates), covariates))

    metric, latent = torch.zeros_like(axes), []
    for state, covariates in states:
        latent.append(state)
        for z, of_cells in zip(state.split(_N_AT_ONCE), covariates.split(_N_AT_ONCE), strict=True):
            metric += expression_metric(partial(log_expr, of_cells), z) * len(z)
        if sum(map(len, latent)) >= _N_CELLS:
            break
    covariance = torch.cat(latent).T.cov(correction=0)
    metric *= covariance.trace() / (metric @ covariance).trace()
    if metric.isfinite().all():
        axes.copy_(principal_axes((torch.eye(len(axes)).to(axes) + metric) / 2, covariance))


def expression_metric(log_expr: Callable[[torch.Tensor], torch.Tensor], z: torch.Tensor) -> torch.Tensor:
    r"""Return the mean pullback metric of decoded expression, shape ``(Z, Z)`` :cite:p:`Arvanitidis18`.

    .. math:: M = \frac{1}{B} \sum_b J_b^\top J_b, \qquad J_b = \frac{\partial \, \mathrm{expression}(z_b)}{\partial z_b}

    Parameters
    ----------
    log_expr
        Decoder of latent states ``(B, Z)`` into log expression ``(B, G)``, each cell for itself.
    z
        Latent states, shape ``(B, Z)``.
    """
    directions = torch.eye(z.shape[1], device=z.device)
    changes = [torch.autograd.functional.jvp(log_expr, z, direction.expand_as(z))[1] for direction in directions]
    jacobian = torch.stack(changes)  # (Z, B, G)
    return torch.einsum("kbg,lbg->kl", jacobian, jacobian) / len(z)


def principal_axes(metric: torch.Tensor, covariance: torch.Tensor) -> torch.Tensor:
    r"""Return axes :math:`A` with :math:`A A^\top = M` in which latent states are uncorrelated, shape ``(Z, Z)``.

    The squared length of :math:`z A` is :math:`z^\top M z`; its columns are principal components, the first the longest.

    Parameters
    ----------
    metric
        The metric :math:`M`, shape ``(Z, Z)``.
    covariance
        Covariance of the latent states, shape ``(Z, Z)``.
    """
    value, vector = torch.linalg.eigh(metric)
    root = vector * value.clamp_min(0).sqrt() @ vector.T
    axes = root @ torch.linalg.eigh(root @ covariance @ root)[1].flip(1)
    largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))  # (1, Z), made positive
    return axes * largest.sign()
