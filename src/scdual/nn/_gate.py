"""Decide for each pair whether the regulator activates, ignores or represses the target.

Inside tensors row = target, column = regulator.

Dimension key
    T  targets      R  regulators      D  embedding width      Q  rank of the bilinear form
"""

import math

import torch
from torch import nn


class SignedGate(nn.Module):
    r"""Three-way distribution over {represses, neither, activates} for each target-regulator pair.

    .. math::
        \phi_{ji}^{c} = \frac{(U_c h_j) \cdot (V_c h_i)}{\sqrt{Q}} + b_c + c \, \delta_{ji}, \quad
        p_{ji} = \mathrm{softmax}_c(\phi_{ji}), \quad M_{ji} = p_{ji}(+1) - p_{ji}(-1)

    The bilinear form of the gene states is of low rank, so no tensor holds a vector per pair; it carries what pairs
    of similar genes share. One offset :math:`\delta` per pair, zero at the start, carries what is the pair's own:
    without it the gate fits cell types but not edges. The gate is the expectation,
    without noise, in training as at evaluation.

    Parameters
    ----------
    n_targets, n_regulators
        Numbers of targets and regulators.
    n_embed
        Embedding width ``D``.
    n_rank
        Rank ``Q`` of the bilinear form.
    """

    signs: torch.Tensor

    def __init__(self, n_targets: int, n_regulators: int, *, n_embed: int, n_rank: int = 16) -> None:
        super().__init__()
        self.n_rank = n_rank
        self.target_proj = nn.Linear(n_embed, 3 * n_rank)
        self.regulator_proj = nn.Linear(n_embed, 3 * n_rank)
        nn.init.zeros_(self.target_proj.weight)  # no edge until the data ask for one
        nn.init.zeros_(self.target_proj.bias)
        self.class_bias = nn.Parameter(torch.zeros(3))
        self.pair_offset = nn.Parameter(torch.zeros(n_targets, n_regulators))
        self.register_buffer("signs", torch.tensor([-1.0, 0.0, 1.0]), persistent=False)

    @torch.no_grad()
    def set_expectation(self, gate: torch.Tensor) -> None:
        r"""Set the offsets so that a gate whose bilinear form is zero takes the values M in ``gate``, ``(G, R)``.

        .. math:: e^{\delta} = \frac{M + \sqrt{4 - 3 M^2}}{2 (1 - M)}

        Parameters
        ----------
        gate
            Values in (-1, 1) for all targets and regulators.
        """
        self.pair_offset.copy_(((gate + (4 - 3 * gate**2).sqrt()) / (2 * (1 - gate))).log())

    def logits(self, target_state: torch.Tensor, regulator_state: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the logits of the three classes, shape ``(3, T, R)``."""
        left = self.target_proj(target_state).unflatten(-1, (3, self.n_rank))  # (T, 3, Q)
        right = self.regulator_proj(regulator_state).unflatten(-1, (3, self.n_rank))  # (R, 3, Q)
        shared = torch.einsum("tcq,rcq->ctr", left, right) / math.sqrt(self.n_rank) + self.class_bias[:, None, None]
        return shared + self.pair_offset[target] * self.signs[:, None, None]

    def forward(self, target_state: torch.Tensor, regulator_state: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the gate M in [-1, 1], shape ``(T, R)``.

        Parameters
        ----------
        target_state
            States of the targets, shape ``(T, D)``.
        regulator_state
            States of all regulators, shape ``(R, D)``.
        target
            Positions of the targets among the genes, shape ``(T,)``.
        """
        represses, _, activates = self.logits(target_state, regulator_state, target).softmax(0)
        return activates - represses
