"""The mean over cells of what is logged."""

import torch
from torchmetrics import Metric


class MeanOverCells(Metric):
    """Mean over the cells of all minibatches and processes; torchmetrics' own replaces values that are not a number."""

    total: torch.Tensor
    n_cells: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("n_cells", torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, mean: torch.Tensor | float, n_cells: int) -> None:
        """Add a minibatch: its mean and its number of cells."""
        self.total += mean * n_cells
        self.n_cells += n_cells

    def compute(self) -> torch.Tensor:
        """Return the mean."""
        return self.total / self.n_cells
