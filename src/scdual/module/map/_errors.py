r"""How far the linear start may be off: standard errors that hold for denoised values, rare genes and unequal noise.

Inside tensors row = target, column = regulator.

Dimension key
    B  cells      G  genes      R  regulators      P  principal components      U  covariate columns, depth included
"""

from collections.abc import Iterable

import torch

from scdual.module.map._blocks import row_blocks
from scdual.module.map._moments import Moments
from scdual.module.map._values import MapCells, MapValues

_LEAST_FREEDOM = 0.01  # of a cell from the components: one that makes up a component of its own has none


@torch.no_grad()
def squared_errors(
    values: MapValues,
    batches: Iterable[MapCells],
    moments: Moments,
    weight: torch.Tensor,
    *,
    penalty: float,
) -> torch.Tensor:
    r"""Return squared standard errors of ridge estimates, shape ``(G, R)``, in single precision.

    Of the value of a gene, :math:`o + w d`, only o is observed; d is read off the principal components, with loadings
    that are regressions of the genes on the scores z. What the noise e of a cell adds to an estimate is therefore

    .. math::
        \frac{1}{n} \left( a_{bi} \, e_{bj} + f_{bi} \, g_{bj} \right), \qquad
        a = V A + w z \Lambda z^T V A / n, \qquad f = e_{reg} \, \mathrm{diag}(\gamma) A, \qquad g = z \Lambda z^T (y - V W) / n

    with the values V of the regulators, :math:`A = (V^T V / n + \lambda)^{-1}`, the gain :math:`\gamma` of their denoised
    part, and :math:`\Lambda` the shrinkage of each component over its variance. The first term is the
    noise of the target, in its own value and its loadings, the second that of the regulator's loadings. Their squares are summed
    cell by cell, so noise need not be the same in all cells :cite:p:`White80`. Where regulator or target are seen in few cells,
    that sum is small by chance; then the product of the mean squares counts, as if noise and regulator had nothing to do with
    each other.

    Parameters
    ----------
    values
        Values of the map, with the spread they have in the estimates.
    batches
        Minibatches of the cells that the moments were collected from; they are read once.
    moments
        Moments of regulators and scores with all genes.
    weight
        The estimates, shape ``(G, R)``.
    penalty
        Their ridge penalty.
    """
    mixture, n_regulators = values.mixture, values.n_regulators
    gram, effect = moments.partial_gram(), moments.total_effects()  # (R + P, R + P), (U, R + P + G)
    v, z = slice(n_regulators), slice(n_regulators, len(gram))
    inverse = torch.linalg.inv(gram[v, v] + penalty * torch.eye(n_regulators, dtype=gram.dtype, device=gram.device))
    lift = mixture.shrinkage / gram.diagonal()[z].clamp_min(1e-9)  # (P,)
    loading = mixture.weight * (inverse @ gram[v, z]) * lift  # (R, P)
    residual_score = (moments.partial_cross(z) - gram[z, v] @ weight.T.double()) * lift[:, None]  # (P, G)
    gain = mixture.gain / mixture.std
    noise_effect = effect[:, len(gram) :] * mixture.target_std - (1 + mixture.weight) * effect[:, z] @ (
        mixture.shrinkage[:, None] * mixture.components
    ).to(effect)
    target_sum = torch.zeros(weight.shape, device=weight.device)  # of squares, so single precision loses nothing
    regulator_sum = torch.zeros_like(target_sum)
    a_sum, e_sum = gram.new_zeros(n_regulators), gram.new_zeros(len(weight))
    n_cells = 0
    for cells in batches:
        covariates, log_expr = values.covariates(cells).double(), values.log_expr(cells)
        rows = values.with_scores(log_expr)[0].double() - covariates @ effect[:, : len(gram)]
        leverage = rows[:, z].square() @ lift / moments.n_cells  # of a cell on its own denoised values, (B,)
        noise = values.noise(log_expr).double() - covariates @ noise_effect  # (B, G)
        noise = noise / (1 - leverage).clamp_min(_LEAST_FREEDOM)[:, None]
        a = (rows[:, v] @ inverse + rows[:, z] @ loading.T).square()
        e = (noise / mixture.target_std).square()
        f = (noise[:, values.regulator_index] * gain) @ inverse
        target_sum.addmm_(e.T.float(), a.float())
        regulator_sum.addmm_((rows[:, z] @ residual_score).square().T.float(), f.square().float())
        a_sum, e_sum, n_cells = a_sum + a.sum(0), e_sum + e.sum(0), n_cells + len(a)
    for genes in row_blocks(*weight.shape):
        independent = (e_sum[genes, None] * (a_sum / n_cells)).float()
        regulator_sum[genes] += torch.maximum(target_sum[genes], independent)
    return regulator_sum.div_(n_cells**2)
