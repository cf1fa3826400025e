"""Add to a gene's noisy value what the rest of the cell says about it.

Dimension key
    B  cells      G  genes      R  regulators      P  principal components
"""

from collections.abc import Iterable

import numpy as np
import torch
from sklearn.decomposition import IncrementalPCA
from torch import nn

from scdual.module.map._settings import DEFAULT_SETTINGS, MapSettings

_CONSTANT = 1e-6  # a gene with a standard deviation below it


class ValueMixture(nn.Module):
    r"""Values as observed, with a share of what the rest of the cell says about them, at unit variance.

    .. math:: v_i \propto o_i + w \, \frac{s_i}{s_i^2 + \epsilon} \, d_i, \qquad y_j \propto o_j + w \, d_j, \qquad
        d = z P^T \, \mathrm{diag}\left(1 - \lambda_+ / \lambda_p\right)_+ P

    for regulators i and targets j, with their observed values o, the standardised values z of all genes, the leading
    principal components P of the cells, their eigenvalues :math:`\lambda_p` and the spread :math:`s_i` of
    :math:`d_i`. :math:`\lambda_+ = (1 + \sqrt{G / n})^2` is the largest eigenvalue that n cells of pure noise would show
    :cite:p:`Marchenko67`: without structure in the data nothing is added, and a gene that the components do not explain
    keeps its observed values.

    A count of zero or one says little about a gene; the genes that vary with it fill in. How much they are needed is
    read off the data: the weight w is :math:`5 / m`, at most 4, where m is n times the mean squared correlation of a
    regulator with another gene, which is 1 for pure noise. Regulators, each of which should speak as loudly as the
    others, get their denoised values at unit variance, targets as they are.

    Parameters
    ----------
    n_genes
        Number of genes ``G``.
    regulator_index
        Positions of the regulators, shape ``(R,)``.
    denoised_weight
        Weight w of the denoised values; None takes the one described above.
    settings
        Tuned numbers, the number ``P`` of principal components among them; fewer are used when there are fewer genes.
    """

    regulator_index: torch.Tensor
    components: torch.Tensor
    shrinkage: torch.Tensor
    gain: torch.Tensor
    std: torch.Tensor
    weight: torch.Tensor
    target_std: torch.Tensor

    def __init__(
        self,
        n_genes: int,
        regulator_index: torch.Tensor,
        *,
        denoised_weight: float | None = None,
        settings: MapSettings = DEFAULT_SETTINGS,
    ) -> None:
        super().__init__()
        self.denoised_weight, self.settings = denoised_weight, settings
        self.register_buffer("regulator_index", regulator_index, persistent=False)
        self.register_buffer("components", torch.zeros(min(settings.n_components, n_genes), n_genes))
        self.register_buffer("shrinkage", torch.zeros(len(self.components)))
        self.register_buffer("gain", torch.zeros(len(regulator_index)))
        self.register_buffer("std", torch.ones(len(regulator_index)))
        self.register_buffer("weight", torch.tensor(0.0))
        self.register_buffer("target_std", torch.ones(n_genes))

    def forward(
        self, observed: torch.Tensor, standardised: torch.Tensor, unseen: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return mixed values of the regulators, shape ``(B, R)``.

        Parameters
        ----------
        observed
            Observed values of the regulators, mean 0 and standard deviation 1, shape ``(B, R)``.
        standardised
            Standardised values of all genes, shape ``(B, G)``.
        unseen
            Positions of genes that must not influence the values of the others, shape ``(T,)``.
        """
        seen = standardised if unseen is None else standardised.index_fill(-1, unseen, 0)
        return (observed + self.gain * self._denoised(seen, self.regulator_index)) / self.std

    def targets(self, observed: torch.Tensor, standardised: torch.Tensor, gene: torch.Tensor) -> torch.Tensor:
        """Return mixed values of targets, shape ``(B, T)``.

        Parameters
        ----------
        observed
            Observed values of the targets, mean 0 and standard deviation 1, shape ``(B, T)``.
        standardised
            Standardised values of all genes, shape ``(B, G)``.
        gene
            Positions of the targets among the genes, shape ``(T,)``.
        """
        return (observed + self.weight * self._denoised(standardised, gene)) / self.target_std[gene]

    def scores(self, standardised: torch.Tensor) -> torch.Tensor:
        """Return the scores of the principal components, shape ``(B, P)``, of standardised values ``(B, G)``."""
        return standardised @ self.components.T

    def noise(self, observed: torch.Tensor, standardised: torch.Tensor) -> torch.Tensor:
        """Return what the components leave of the observed values of all genes, each ``(B, G)``."""
        return observed - (self.scores(standardised) * self.shrinkage) @ self.components

    def _denoised(self, standardised: torch.Tensor, gene: torch.Tensor) -> torch.Tensor:
        return (self.scores(standardised) * self.shrinkage) @ self.components[:, gene]

    def fit(self, batches: Iterable[torch.Tensor], *, n_cells: int, over_noise: float) -> None:
        """Learn the components, and how much of them each gene gets.

        Parameters
        ----------
        batches
            Standardised values of the cells, those of validation included, minibatches ``(B, G)``.
        n_cells
            Number of these cells n.
        over_noise
            How far the correlations stand out of the noise, m.
        """
        n_components, n_genes = self.components.shape
        self.std.fill_(1.0)
        self.target_std.fill_(1.0)
        pca = IncrementalPCA(n_components)
        at_least = max(self.settings.pca_chunk, 2 * n_components)
        for chunk in _chunks(batches, at_least=at_least, n_enough=self.settings.pca_cells):
            if len(chunk) >= n_components:
                pca.partial_fit(chunk)
        if not hasattr(pca, "components_"):
            return  # fewer cells than components: nothing to denoise with
        eigenvalue = torch.as_tensor(pca.explained_variance_, dtype=torch.float32)
        largest_noise = (1 + (n_genes / min(n_cells, int(pca.n_samples_seen_))) ** 0.5) ** 2
        shrinkage = (1 - largest_noise / eigenvalue.clamp_min(1e-6)).clamp_min(0)
        components = torch.as_tensor(pca.components_, dtype=torch.float32)
        components[:, torch.as_tensor(pca.var_ < _CONSTANT**2)] = 0.0  # rounding errors would say something about it
        of_regulator = components[:, self.regulator_index.cpu()].square()  # (P, R)
        explained = ((shrinkage**2 * eigenvalue)[:, None] * of_regulator).sum(0)  # (R,)
        weight = self.denoised_weight
        if weight is None:
            weight = min(self.settings.weight_of_noise / max(over_noise, 1e-6), self.settings.max_denoised_weight)
        self.weight.fill_(weight)
        self.components.copy_(components)
        self.shrinkage.copy_(shrinkage)
        self.gain.copy_(weight * explained.sqrt() / (explained + self.settings.min_explained))

    def set_std(self, std: torch.Tensor, target_std: torch.Tensor) -> None:
        """Set the spread of the mixed values of regulators ``(R,)`` and targets ``(G,)``; constant ones stay as they are."""
        self.std.copy_(torch.where(std > _CONSTANT, std, 1.0))
        self.target_std.copy_(torch.where(target_std > _CONSTANT, target_std, 1.0))

    def self_covariance(self) -> torch.Tensor:
        """Return what the observed value of each gene alone adds to the covariance of regulator and target, ``(R, G)``."""
        of_regulator = self.components[:, self.regulator_index] * self.shrinkage[:, None]  # (P, R)
        return (of_regulator.T @ self.components).mul_((self.gain / self.std)[:, None]).div_(self.target_std)


def _chunks(batches: Iterable[torch.Tensor], *, at_least: int, n_enough: int) -> Iterable[np.ndarray]:
    """Yield minibatches joined to chunks of at least so many cells, up to a total that settles the components.

    What is left at the end and too small for a chunk of its own joins the last one.
    """
    last: list[torch.Tensor] = []
    waiting: list[torch.Tensor] = []
    n_seen = 0
    for values in batches:
        waiting.append(values.cpu())
        n_seen += len(values)
        if sum(map(len, waiting)) >= at_least:
            if last:
                yield torch.cat(last).numpy()
            last, waiting = waiting, []
            if n_seen >= n_enough:
                break
    if sum(map(len, waiting)) < at_least // 2:
        last, waiting = last + waiting, []
    for chunk in (last, waiting):
        if sum(map(len, chunk)) > 1:
            yield torch.cat(chunk).numpy()
