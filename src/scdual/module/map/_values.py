"""What cells bring to the regulatory map: values of regulators and targets, and what the map is free of.

Dimension key
    B  cells in the minibatch      G  genes      R  regulators      T  targets
    U  covariates after one-hot coding
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import nn

from scdual.module.map._mixture import ValueMixture
from scdual.module.map._scale import N_DEPTH, ExpressionScale
from scdual.module.map._settings import DEFAULT_SETTINGS, MapSettings
from scdual.nn import ExpressionEmbedding


class MapCells(NamedTuple):
    """A minibatch as the map takes it, on the device of the map."""

    counts: torch.Tensor  # (B, G), strided
    covariates: torch.Tensor  # (B, U)
    size_factor: torch.Tensor | None = None  # (B, 1), in place of the library size


class MapValues(nn.Module):
    """Turn counts into the values between which the map is learnt.

    Parameters
    ----------
    n_genes
        Number of genes ``G``.
    regulator_index
        Positions of the regulators among the genes, shape ``(R,)``.
    n_covariates
        Number ``U`` of covariate columns.
    denoised_weight
        That of :class:`ValueMixture`.
    settings
        Tuned numbers.
    """

    regulator_index: torch.Tensor

    def __init__(
        self,
        n_genes: int,
        regulator_index: torch.Tensor,
        *,
        n_covariates: int = 0,
        denoised_weight: float | None = None,
        settings: MapSettings = DEFAULT_SETTINGS,
    ) -> None:
        super().__init__()
        self.n_genes, self.n_regulators, self.n_columns = n_genes, len(regulator_index), n_covariates + N_DEPTH
        self.register_buffer("regulator_index", regulator_index)
        self.scale = ExpressionScale(n_genes, settings=settings)
        self.mixture = ValueMixture(n_genes, regulator_index, denoised_weight=denoised_weight, settings=settings)

    def log_expr(self, cells: MapCells, unseen: torch.Tensor | None = None) -> torch.Tensor:
        """Return depth-normalised log values of all genes, shape ``(B, G)``."""
        return self.scale.log_expr(cells.counts, unseen, cells.size_factor)

    def covariates(self, cells: MapCells, unseen: torch.Tensor | None = None) -> torch.Tensor:
        """Return what the map is free of, shape ``(B, U + 2)``: covariates and depth."""
        depth = self.scale.depth(cells.counts, unseen, cells.size_factor)
        return torch.cat([cells.covariates, depth], dim=1)

    def of_regulators(self, log_expr: torch.Tensor, unseen: torch.Tensor | None = None) -> torch.Tensor:
        """Return values of the regulators ``(B, R)`` from log values ``(B, G)``; see :class:`ValueMixture`."""
        observed = self.scale.rank_score(log_expr[:, self.regulator_index], self.regulator_index)
        return self.mixture(observed, self.scale.standardise(log_expr), unseen)

    def of_targets(self, log_expr: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return values of targets ``(B, T)`` from log values ``(B, G)``; see :class:`ValueMixture`."""
        observed = self.scale.rank_score(log_expr[:, target], target)
        return self.mixture.targets(observed, self.scale.standardise(log_expr), target)

    def of_all(self, log_expr: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return values of the regulators ``(B, R)`` and of all genes ``(B, G)`` from log values ``(B, G)``."""
        genes = torch.arange(self.n_genes, device=log_expr.device)
        return self.of_regulators(log_expr), self.of_targets(log_expr, genes)

    def with_scores(self, log_expr: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return values of the regulators and scores of the components ``(B, R + P)``, and values of all genes ``(B, G)``."""
        values, genes = self.of_all(log_expr)
        return torch.cat([values, self.mixture.scores(self.scale.standardise(log_expr))], dim=1), genes

    def noise(self, log_expr: torch.Tensor) -> torch.Tensor:
        """Return what the components leave of the observed values of all genes ``(B, G)``, from log values ``(B, G)``."""
        genes = torch.arange(self.n_genes, device=log_expr.device)
        return self.mixture.noise(self.scale.rank_score(log_expr, genes), self.scale.standardise(log_expr))

    def fit_scale(
        self,
        batches: Iterable[MapCells],
        embedding: ExpressionEmbedding,
        sample: Iterable[MapCells] | None = None,
    ) -> None:
        """Learn scale, ranks and the bins of the expression states from the cells, which are read twice.

        Parameters
        ----------
        batches
            Minibatches of the cells.
        embedding
            Gets the bins.
        sample
            Some of these cells in random order, once they have been read, which tell the ranks; None takes all.
        """

        def counts_of(cells: Iterable[MapCells]) -> Iterable[tuple[torch.Tensor, torch.Tensor | None]]:
            return ((each.counts, each.size_factor) for each in cells)

        some = batches if sample is None else sample
        self.scale.fit(lambda: counts_of(batches), embedding, lambda: counts_of(some))


@torch.no_grad()
def cells_with_both(values: MapValues, batches: Iterable[MapCells]) -> torch.Tensor:
    """Return how many cells express both genes of each pair, shape ``(G, R)``; the cells are read once."""
    total = torch.zeros(values.n_genes, values.n_regulators, device=values.regulator_index.device)
    for cells in batches:
        is_expressed = (cells.counts > 0).float()
        total.addmm_(is_expressed.T, is_expressed[:, values.regulator_index])
    return total.int()
