"""Put counts of any depth on one log scale, and genes on one standard scale.

Dimension key
    B  cells      G  genes      R  regulators      P  principal components
"""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from sklearn.decomposition import IncrementalPCA
from torch import nn

from scdual.nn import ExpressionEmbedding


class ExpressionScale(nn.Module):
    r"""Depth-normalised log values and their mean and spread, learnt once from the training cells.

    .. math:: \tilde x_{bg} = \log\left(1 + x_{bg} \, \bar\ell / \ell_b\right)

    :math:`\ell_b` is the library size of the cell, :math:`\bar\ell` the geometric mean of the training cells'. Where
    some genes must stay unseen they do not count towards :math:`\ell_b` either; their mean share of all molecules
    makes up for them.

    Parameters
    ----------
    n_genes
        Number of genes ``G``.
    """

    mean: torch.Tensor
    std: torch.Tensor
    proportion: torch.Tensor
    log_library_size: torch.Tensor
    is_fitted: torch.Tensor

    def __init__(self, n_genes: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_genes))
        self.register_buffer("std", torch.ones(n_genes))
        self.register_buffer("proportion", torch.full((n_genes,), 1.0 / n_genes))
        self.register_buffer("log_library_size", torch.tensor(9.0))
        self.register_buffer("is_fitted", torch.zeros((), dtype=torch.bool))

    def log_expr(self, counts: torch.Tensor, unseen: torch.Tensor | None = None) -> torch.Tensor:
        """Return depth-normalised log values, shape ``(B, G)``.

        Parameters
        ----------
        counts
            Counts, shape ``(B, G)``. A cell without counts gives zeros.
        unseen
            Positions of genes that must not influence the values of the others, shape ``(T,)``.
        """
        if unseen is None:
            library_size = counts.sum(-1, keepdim=True)
        else:
            seen_share = (1 - self.proportion[unseen].sum()).clamp_min(1e-3)
            library_size = counts.index_fill(-1, unseen, 0).sum(-1, keepdim=True) / seen_share
        return torch.log1p(counts * (self.log_library_size.exp() / library_size.clamp_min(1.0)))

    def standardise(self, log_expr: torch.Tensor) -> torch.Tensor:
        """Return values with mean 0 and standard deviation 1 per gene, shape ``(B, G)``."""
        return (log_expr - self.mean) / self.std

    def fit(self, batches: Callable[[], Iterable[torch.Tensor]], embedding: ExpressionEmbedding) -> None:
        """Learn library size, mean, spread and expression bins in two passes over the training counts.

        Parameters
        ----------
        batches
            Gives an iterable of count matrices ``(B, G)`` each time it is called.
        embedding
            Its bins are placed at quantiles of the non-zero values.
        """
        device = self.mean.device
        n_cells, log_library_size, gene_total = 0, 0.0, torch.zeros_like(self.mean, dtype=torch.float64)
        for counts in batches():
            n_cells += len(counts)
            log_library_size += float(counts.sum(-1).clamp_min(1.0).double().log().sum())
            gene_total += counts.sum(0).to(device, torch.float64)
        self.log_library_size.fill_(log_library_size / n_cells)
        self.proportion.copy_(gene_total / gene_total.sum().clamp_min(1.0))
        total, square = torch.zeros_like(gene_total), torch.zeros_like(gene_total)
        histogram = torch.zeros(embedding.n_grid, device=device)
        for counts in batches():
            log_expr = self.log_expr(counts.to(device))
            total += log_expr.double().sum(0)
            square += log_expr.double().square().sum(0)
            expressed = log_expr[log_expr > 0]
            histogram += torch.histc(expressed, bins=embedding.n_grid, min=0, max=embedding.max_value)
        mean = total / n_cells
        std = (square / n_cells - mean.square()).clamp_min(0).sqrt()
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 1e-6, std, 1.0))  # a constant gene keeps its zero deviation
        embedding.set_bins(histogram)
        self.is_fitted.fill_(True)


class ValueMixture(nn.Module):
    r"""Regulator values as observed, with a share of what the rest of the cell says about them, at unit variance.

    .. math:: v = \frac{o + w \, d / \mathrm{sd}(d)}{\mathrm{sd}(o + w \, d / \mathrm{sd}(d))}, \qquad d = o P^T P

    with o the standardised observed values and P the leading principal components of the training cells. A count of
    zero or one says little about a regulator; the genes that vary with it fill in.

    Parameters
    ----------
    n_genes
        Number of genes ``G``.
    regulator_index
        Positions of the regulators, shape ``(R,)``.
    n_components
        Number ``P`` of principal components; fewer are used when there are fewer genes.
    denoised_weight
        Weight w of the denoised values.
    """

    regulator_index: torch.Tensor
    components: torch.Tensor
    denoised_std: torch.Tensor

    def __init__(
        self, n_genes: int, regulator_index: torch.Tensor, *, n_components: int, denoised_weight: float
    ) -> None:
        super().__init__()
        self.denoised_weight = denoised_weight
        self.register_buffer("regulator_index", regulator_index, persistent=False)
        self.register_buffer("components", torch.zeros(min(n_components, n_genes), n_genes))
        self.register_buffer("denoised_std", torch.zeros(len(regulator_index)))

    def forward(self, observed: torch.Tensor, unseen: torch.Tensor | None = None) -> torch.Tensor:
        """Return mixed values of the regulators, shape ``(B, R)``.

        Parameters
        ----------
        observed
            Standardised values of all genes, shape ``(B, G)``.
        unseen
            Positions of genes that must not influence the values of the others, shape ``(T,)``.
        """
        seen = observed if unseen is None else observed.index_fill(-1, unseen, 0)
        denoised = (seen @ self.components.T) @ self.components[:, self.regulator_index]  # (B, R)
        divisor = self.denoised_std.clamp_min(0.05)  # a regulator outside the components stays as observed
        denoised = denoised / divisor
        share = self.denoised_weight * self.denoised_std / divisor
        var = 1 + share**2 + 2 * share * self.denoised_std
        return (observed[:, self.regulator_index] + self.denoised_weight * denoised) / var.sqrt()

    def fit(self, batches: Iterable[torch.Tensor]) -> None:
        """Learn the components from standardised values of training cells, minibatches ``(B, G)``."""
        pca = IncrementalPCA(len(self.components))
        for chunk in _chunks(batches, at_least=max(_PCA_CHUNK, 2 * len(self.components))):
            if len(chunk) >= len(self.components):
                pca.partial_fit(chunk)
        if not hasattr(pca, "components_"):
            return  # fewer cells than components: nothing to denoise with
        components = torch.as_tensor(pca.components_, dtype=torch.float32)
        var = torch.as_tensor(pca.explained_variance_, dtype=torch.float32)[:, None] * components.square()
        self.components.copy_(components)
        self.denoised_std.copy_(var.sum(0)[self.regulator_index.cpu()].sqrt())


_PCA_CHUNK = 1_000
_PCA_CELLS = 10_000


def _chunks(batches: Iterable[torch.Tensor], *, at_least: int) -> Iterable[np.ndarray]:
    """Yield minibatches joined to chunks of at least so many cells, up to a total that settles the components."""
    waiting: list[torch.Tensor] = []
    n_seen = 0
    for values in batches:
        waiting.append(values.cpu())
        if sum(map(len, waiting)) >= at_least:
            yield torch.cat(waiting).numpy()
            n_seen += sum(map(len, waiting))
            waiting = []
        if n_seen >= _PCA_CELLS:
            return
    rest = torch.cat(waiting).numpy() if waiting else np.empty((0, 0), dtype=np.float32)
    if len(rest) >= at_least // 2 or (n_seen == 0 and len(rest) > 1):
        yield rest
