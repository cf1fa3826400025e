"""What a step hides: values of targets from their own prediction, and most regulators from each target.

Dimension key
    B  cells      R  regulators      T  targets
"""

from typing import NamedTuple

import torch
from torch import nn

from scdual.module.map._settings import DEFAULT_SETTINGS, MapSettings

_ROUNDING = 1e-4  # of shares in single precision


class Hidden(NamedTuple):
    """The targets of a step, and the regulators that they may see."""

    target: torch.Tensor  # (T,), positions among the genes
    visible_mask: torch.Tensor  # (B, R) or (1, R)


class Hiding(nn.Module):
    r"""Choose the targets of a step, and the regulators that each cell shows to them.

    Showing regulators with probability p amounts to ridge regression with the penalty :math:`(1 - p) / p`, its
    coefficients divided by p :cite:p:`Wager13`. Unless p is given, the penalty is 0.3, plus the number of other
    regulators whose information a regulator shares, plus one for every hundred regulators: of those that tell the same
    about one is visible at a time, and of many at most a hundred, for with many come chance fits.

    Parameters
    ----------
    n_genes, n_regulators
        Numbers of genes and of regulators.
    target_share
        Share of the genes that are targets in one step.
    visible_share
        Share of the regulators that are visible, p; None reads it off the data.
    settings
        Tuned numbers.
    """

    visible_share: torch.Tensor

    def __init__(
        self,
        n_genes: int,
        n_regulators: int,
        *,
        target_share: float,
        visible_share: float | None,
        settings: MapSettings = DEFAULT_SETTINGS,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.n_genes, self.n_regulators, self.target_share = n_genes, n_regulators, target_share
        self.is_adaptive = visible_share is None
        first_share = settings.unfitted_visible_share if visible_share is None else visible_share
        self.register_buffer("visible_share", torch.tensor(first_share))

    @property
    def penalty(self) -> float:
        """The ridge penalty that hiding amounts to."""
        return float(1 / self.visible_share - 1)

    def adapt(self, shared_information: float) -> None:
        """Set the visible share, unless it was given, from the number of regulators that tell the same."""
        if self.is_adaptive:
            of_many = self.n_regulators / self.settings.max_visible
            penalty = self.settings.least_penalty + shared_information + of_many
            self.visible_share.fill_(1 / (1 + penalty))

    def draw(self, n_cells: int) -> Hidden:
        """Return a random choice of targets, and of visible regulators for each cell."""
        device = self.visible_share.device
        target = torch.randperm(self.n_genes, device=device)[: max(1, round(self.target_share * self.n_genes))]
        return Hidden(target, torch.rand(n_cells, self.n_regulators, device=device) < self.visible_share)

    def fixed(self) -> Hidden:
        """Return the choice on which validation losses are computed: evenly spaced, the same in all cells."""
        target = _evenly_spaced(self.n_genes, self.target_share).to(self.visible_share.device)
        visible = _evenly_spaced(self.n_regulators, float(self.visible_share)).to(self.visible_share.device)
        return Hidden(target.nonzero()[:, 0], visible[None])


def _evenly_spaced(n: int, share: float) -> torch.Tensor:
    """Return a mask ``(n,)`` that is True for this share of the places, the first among them."""
    count = (torch.arange(n + 1) * share - _ROUNDING).ceil()
    return count[1:] > count[:-1]
