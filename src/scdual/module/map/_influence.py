"""Sum what single cells add to estimates: variances that hold for unequal noise and for rare genes.

Dimension key
    B  cells      G  genes      R  regulators
"""

import torch


class InfluenceSums:
    """Squares of what each cell adds to every estimate, summed over cells :cite:p:`White80`.

    Where regulator or gene vary in few cells that sum is small by chance; then the product of the mean squares counts, as
    if noise and regulator had nothing to do with each other.

    Parameters
    ----------
    n_regulators, n_genes
        Numbers of regulators and genes.
    like
        A tensor of the type and on the device of the sums.
    """

    def __init__(self, n_regulators: int, n_genes: int, *, like: torch.Tensor) -> None:
        self.total = like.new_zeros(n_regulators, n_genes)
        self.influence, self.noise = like.new_zeros(n_regulators), like.new_zeros(n_genes)
        self.n_cells = 0

    def add(self, influence: torch.Tensor, noise: torch.Tensor) -> None:
        """Add cells with the influence of their regulators ``(B, R)`` and the noise of their genes ``(B, G)``."""
        influence, noise = influence.square(), noise.square()
        self.total.addmm_(influence.T, noise)
        self.influence += influence.sum(0)
        self.noise += noise.sum(0)
        self.n_cells += len(noise)

    def variance(self) -> torch.Tensor:
        """Return the squared standard errors of the estimates, shape ``(R, G)``."""
        independent = self.influence[:, None] * (self.noise / self.n_cells)
        return torch.maximum(self.total, independent, out=independent).div_(self.n_cells**2)
