"""Embed gene identities and expression values.

Dimension key
    B  cells in the minibatch      G  genes           N  bins of non-zero values
    D  embedding width             S  expression states: zero, N bins, masked (N + 2)
"""

import torch
from torch import nn


class GeneEmbedding(nn.Module):
    r"""One learnable vector per gene, :math:`E_{gene} \in \mathbb{R}^{G \times D}`, and its place among regulators.

    The vectors are what tells genes apart. What enters the gene branch is moved towards the regulators that activate
    the gene and away from those that repress it, so genes with the same regulators are close to each other:

    .. math:: \frac{1}{\sqrt 5} \left(E + 2 \, \frac{\mathrm{sd}(E)}{\mathrm{sd}(W E_{reg})} \, W E_{reg}\right)

    with the signed weights W and the vectors :math:`E_{reg}` of the regulators before training; the shift is fixed
    then. The spread of the moved vectors is that of E.

    Parameters
    ----------
    n_genes
        Number of genes ``G``.
    n_embed
        Embedding width ``D``.
    """

    shift: torch.Tensor

    def __init__(self, n_genes: int, n_embed: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.5 * torch.randn(n_genes, n_embed))
        self.register_buffer("shift", torch.zeros(n_genes, n_embed))

    @torch.no_grad()
    def move_to_regulators(self, weight: torch.Tensor, regulator_index: torch.Tensor) -> None:
        """Fix the shift from signed weights ``(G, R)`` of targets on the regulators at positions ``(R,)``."""
        shift = weight @ self.weight[regulator_index]  # (G, D)
        self.shift.copy_(shift * (2 * self.weight.std() / shift.std().clamp_min(1e-12)))

    def forward(self) -> torch.Tensor:
        """Return the embedding of every gene among its regulators, shape ``(G, D)``."""
        return (self.weight + self.shift) / 5**0.5


class ExpressionEmbedding(nn.Module):
    r"""Embed a log expression value by its bin and by its size.

    .. math:: e(\tilde x) = W_{bin}[b(\tilde x)] + \alpha \, \tilde x \, v_{cont}

    with :math:`\tilde x = \log(1 + x)` and :math:`b` its bin. Zero has a bin of its own; the edges of the others are
    quantiles of the non-zero training values. A hidden value has the embedding :math:`e_{mask}` instead.

    Parameters
    ----------
    n_embed
        Embedding width ``D``.
    n_bins
        Number ``N`` of bins for non-zero values.
    """

    bin_edges: torch.Tensor
    bin_centers: torch.Tensor
    max_value = 14.0  # log1p of 1.2 million molecules
    n_grid = 2**14

    def __init__(self, n_embed: int, *, n_bins: int = 8) -> None:
        super().__init__()
        self.n_bins = n_bins
        self.bin_emb = nn.Parameter(0.1 * torch.randn(n_bins + 1, n_embed))
        self.mask_emb = nn.Parameter(0.1 * torch.randn(n_embed))
        self.cont_direction = nn.Parameter(0.1 * torch.randn(n_embed))
        self.alpha = nn.Parameter(torch.ones(()))
        self.register_buffer("bin_edges", torch.linspace(0.5, 3.0, n_bins - 1))
        self.register_buffer("bin_centers", torch.linspace(0.25, 3.25, n_bins))

    @property
    def mask_state(self) -> int:
        """Index of the masked state."""
        return self.n_bins + 1

    def set_bins(self, histogram: torch.Tensor) -> None:
        """Place the bins at quantiles of the non-zero values.

        Parameters
        ----------
        histogram
            Number of non-zero log values in each of ``n_grid`` equal cells between 0 and ``max_value``,
            shape ``(n_grid,)``.
        """
        total = histogram.sum()
        if total == 0:
            return
        width = self.max_value / self.n_grid
        grid = (torch.arange(self.n_grid, device=histogram.device, dtype=torch.float64) + 0.5) * width
        quantile = torch.arange(1, self.n_bins, device=histogram.device, dtype=torch.float64) / self.n_bins
        position = torch.searchsorted(histogram.cumsum(0).double() / total, quantile)
        edges = grid[position] + width / 2
        bin_index = torch.bucketize(grid, edges)
        mass = torch.zeros(self.n_bins, dtype=torch.float64, device=grid.device)
        mass = mass.index_add(0, bin_index, histogram.double())
        value_sum = torch.zeros_like(mass).index_add(0, bin_index, histogram.double() * grid)
        fallback = torch.cat([grid[:1], edges])  # of empty bins; the first never is
        self.bin_edges.copy_(edges)
        self.bin_centers.copy_(torch.where(mass > 0, value_sum / mass.clamp_min(1), fallback))

    def bin_of(self, log_expr: torch.Tensor) -> torch.Tensor:
        """Return the bin of each value above zero, in [0, N), same shape, int64."""
        return torch.bucketize(log_expr, self.bin_edges)

    def state_of(self, log_expr: torch.Tensor) -> torch.Tensor:
        """Return the expression state of each value (0 for zero, 1 to N for its bin), same shape, int64."""
        return torch.where(log_expr > 0, self.bin_of(log_expr) + 1, 0)

    def forward(self, log_expr: torch.Tensor) -> torch.Tensor:
        """Return embeddings ``(..., D)`` of log values ``(...)``."""
        return self.bin_emb[self.state_of(log_expr)] + self.alpha * log_expr[..., None] * self.cont_direction

    def states(self) -> torch.Tensor:
        """Return the embedding of each expression state at the centre of its bin, shape ``(S, D)``."""
        centers = torch.cat([self.bin_centers.new_zeros(1), self.bin_centers])  # (N + 1,)
        seen = self.bin_emb + self.alpha * centers[:, None] * self.cont_direction  # (N + 1, D)
        return torch.cat([seen, self.mask_emb[None]])
