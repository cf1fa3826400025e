"""Put counts of any depth on one log scale, and genes on one standard scale.

Dimension key
    B  cells      G  genes      T  any genes      K  knots of a gene's distribution
"""

from collections.abc import Callable, Iterable

import torch
from torch import nn

from scdual.module.map._settings import DEFAULT_SETTINGS, MapSettings
from scdual.nn import ExpressionEmbedding

Cells = tuple[torch.Tensor, torch.Tensor | None]
_ROUNDING = 1e-5  # values that differ by less are equal: processors disagree about the last digits of a logarithm
_EQUAL_DEPTH = 1e-4  # a standard deviation of log library sizes below it is rounding
N_DEPTH = 2  # columns that describe it


class ExpressionScale(nn.Module):
    r"""Depth-normalised log values, their mean and spread, and their ranks, learnt once from the cells, those of validation included.

    .. math:: \tilde x_{bg} = \log\left(1 + x_{bg} \, \bar\ell / \ell_b\right)

    :math:`\ell_b` is the size factor of the cell or else its library size, :math:`\bar\ell` the geometric mean over
    these cells. Where some genes must stay unseen they do not count towards the library size either; their mean
    share of all molecules makes up for them.

    Parameters
    ----------
    n_genes
        Number of genes ``G``.
    settings
        Tuned numbers.
    """

    mean: torch.Tensor
    std: torch.Tensor
    proportion: torch.Tensor
    log_library_size: torch.Tensor
    log_library_size_std: torch.Tensor
    knots: torch.Tensor
    rank_mean: torch.Tensor
    rank_std: torch.Tensor
    is_fitted: torch.Tensor

    def __init__(self, n_genes: int, *, settings: MapSettings = DEFAULT_SETTINGS) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("mean", torch.zeros(n_genes))
        self.register_buffer("std", torch.ones(n_genes))
        self.register_buffer("proportion", torch.full((n_genes,), 1.0 / n_genes))
        self.register_buffer("log_library_size", torch.tensor(9.0))
        self.register_buffer("log_library_size_std", torch.tensor(1.0))
        self.register_buffer("knots", torch.zeros(n_genes, settings.n_knots))
        self.register_buffer("rank_mean", torch.full((n_genes,), 0.5))
        self.register_buffer("rank_std", torch.ones(n_genes))
        self.register_buffer("is_fitted", torch.zeros((), dtype=torch.bool))

    def log_expr(
        self, counts: torch.Tensor, unseen: torch.Tensor | None = None, size_factor: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return depth-normalised log values, shape ``(B, G)``.

        Parameters
        ----------
        counts
            Counts, shape ``(B, G)``. A cell without counts gives zeros.
        unseen
            Positions of genes that must not influence the values of the others, shape ``(T,)``.
        size_factor
            Takes the place of the library size, shape ``(B, 1)``.
        """
        return torch.log1p(counts * (self.log_library_size.exp() / self.size(counts, unseen, size_factor)))

    def depth(
        self, counts: torch.Tensor, unseen: torch.Tensor | None = None, size_factor: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the standardised log library size of each cell and its square, shape ``(B, 2)``.

        Division by the library size leaves traces of it where most counts are 0 :cite:p:`Hafemeister19`. Arguments are
        those of :meth:`log_expr`.
        """
        log_size = self.size(counts, unseen, size_factor).log()
        limit = self.settings.max_depth
        depth = ((log_size - self.log_library_size) / self.log_library_size_std).clamp(-limit, limit)
        return torch.cat([depth, depth.square()], dim=-1)

    def size(
        self, counts: torch.Tensor, unseen: torch.Tensor | None = None, size_factor: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return what the counts of each cell are divided by, shape ``(B, 1)``; arguments are those of :meth:`log_expr`."""
        if size_factor is not None:
            return size_factor
        if unseen is None:
            return counts.sum(-1, keepdim=True).clamp_min(1.0)
        seen_share = (1 - self.proportion[unseen].sum()).clamp_min(1e-3)
        return (counts.index_fill(-1, unseen, 0).sum(-1, keepdim=True) / seen_share).clamp_min(1.0)

    def standardise(self, log_expr: torch.Tensor) -> torch.Tensor:
        """Return values with mean 0 and standard deviation 1 per gene, shape ``(B, G)``."""
        return (log_expr - self.mean) / self.std

    def rank_score(self, log_expr: torch.Tensor, gene: torch.Tensor) -> torch.Tensor:
        """Return the rank of each value among the cells it was fitted to, with mean 0 and standard deviation 1 per gene.

        Ranks are blind to outliers and to the shape of a gene's response. Equal values share their mean rank.

        Parameters
        ----------
        log_expr
            Log values of some genes, shape ``(B, T)``.
        gene
            Positions of these genes, shape ``(T,)``.

        Returns
        -------
        Shape ``(B, T)``.
        """
        return (self._rank(log_expr, gene) - self.rank_mean[gene]) / self.rank_std[gene]

    def _rank(self, log_expr: torch.Tensor, gene: torch.Tensor) -> torch.Tensor:
        knots, values = self.knots[gene], log_expr.T.contiguous()
        below = torch.searchsorted(knots, values - _ROUNDING)
        below = below + torch.searchsorted(knots, values + _ROUNDING, right=True)
        return below.T / (2 * self.settings.n_knots)

    def fit(
        self,
        batches: Callable[[], Iterable[Cells]],
        embedding: ExpressionEmbedding,
        sample: Callable[[], Iterable[Cells]] | None = None,
    ) -> None:
        """Learn library size, mean, spread, ranks and expression bins in two passes over the counts.

        Parameters
        ----------
        batches
            Gives an iterable of counts ``(B, G)`` and size factors ``(B, 1)`` or None each time it is called.
        embedding
            Its bins are placed at quantiles of the non-zero values.
        sample
            Gives cells in random order, once all have been read, which tell the ranks, the first of them the knots; None takes
            all cells.
        """
        device = self.mean.device
        n_cells, gene_total = 0, torch.zeros_like(self.mean, dtype=torch.float64)
        log_size = torch.zeros(2, dtype=torch.float64, device=device)  # sum, and sum of squares
        for counts, size_factor in batches():
            n_cells += len(counts)
            size = counts.sum(-1).clamp_min(1.0) if size_factor is None else size_factor
            logs = size.double().log().flatten()
            log_size += torch.stack([logs.sum(), logs.square().sum()]).to(device)
            gene_total += counts.double().sum(0).to(device)
        mean, square = log_size / n_cells
        std = (square - mean.square()).clamp_min(0).sqrt()
        self.log_library_size.fill_(mean)
        self.log_library_size_std.fill_(std if std > _EQUAL_DEPTH else 1.0)
        self.proportion.copy_(gene_total / gene_total.sum().clamp_min(1.0))
        total, square = torch.zeros_like(gene_total), torch.zeros_like(gene_total)
        histogram = torch.zeros(embedding.n_grid, device=device)
        for cells in batches():
            log_expr = self._on_device(cells)
            total += log_expr.double().sum(0)
            square += log_expr.double().square().sum(0)
            expressed = log_expr[log_expr > 0]
            histogram += torch.histc(expressed, bins=embedding.n_grid, min=0, max=embedding.max_value)
        mean = total / n_cells
        std = (square / n_cells - mean.square()).clamp_min(0).sqrt()
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 1e-6, std, 1.0))  # a constant gene keeps its zero deviation
        embedding.set_bins(histogram)
        self._fit_ranks(sample or batches)
        self.is_fitted.fill_(True)

    def _on_device(self, cells: Cells) -> torch.Tensor:
        counts, size_factor = cells
        if size_factor is not None:
            size_factor = size_factor.to(self.mean.device)
        return self.log_expr(counts.to(self.mean.device), size_factor=size_factor)

    def _first(self, cells: Iterable[Cells]) -> torch.Tensor:
        """Return the log values of the first cells, of which the knots are made, ``(B, G)``."""
        first, n_cells = list[torch.Tensor](), 0
        for each in cells:
            first.append(self._on_device(each))
            n_cells += len(first[-1])
            if n_cells >= self.settings.n_knot_cells:
                break
        return torch.cat(first)[: self.settings.n_knot_cells]

    def _fit_ranks(self, batches: Callable[[], Iterable[Cells]]) -> None:
        n_knots, first = self.settings.n_knots, self._first(batches())
        place = (torch.arange(n_knots, device=first.device) + 0.5) / n_knots * len(first)
        self.knots.copy_(first.sort(0).values[place.long()].T)
        genes = torch.arange(len(self.knots), device=first.device)
        n_cells, total = 0, torch.zeros(len(genes), dtype=torch.float64, device=first.device)
        square = torch.zeros_like(total)
        for cells in batches():
            rank = self._rank(self._on_device(cells), genes).double()
            n_cells, total, square = n_cells + len(rank), total + rank.sum(0), square + rank.square().sum(0)
        mean = total / n_cells
        std = (square / n_cells - mean.square()).clamp_min(0).sqrt()
        self.rank_mean.copy_(mean)
        self.rank_std.copy_(torch.where(std > 1e-6, std, 1.0))
