"""What cells bring to the regulatory map: values of regulators and targets, and what the map is free of.

Dimension key
    B  cells in the minibatch      G  genes      R  regulators      T  targets
    U  covariates after one-hot coding
"""

import torch
from scvi import REGISTRY_KEYS
from scvi.module.base import BaseModuleClass

from scdual.module._covariates import covariate_columns
from scdual.module._fit import dense
from scdual.module._mixture import ValueMixture
from scdual.module._scale import ExpressionScale
from scdual.nn import ExpressionEmbedding, RegulatorValues

Tensors = dict[str, torch.Tensor]


class MapInputs(BaseModuleClass):
    """Read values, covariates and depth off a minibatch."""

    scale: ExpressionScale
    mixture: ValueMixture
    expr_embedding: ExpressionEmbedding
    regulator_index: torch.Tensor
    n_batch: int
    n_cats_per_cov: list[int]
    use_size_factor_key: bool

    def regulator_values_of(self, log_expr: torch.Tensor, unseen: torch.Tensor | None = None) -> RegulatorValues:
        """Return values and states of the regulators, each ``(B, R)``, from log values ``(B, G)``."""
        state = self.expr_embedding.state_of(log_expr[:, self.regulator_index])
        return RegulatorValues(self.mixed_values(log_expr, unseen), state)

    def mixed_values(self, log_expr: torch.Tensor, unseen: torch.Tensor | None = None) -> torch.Tensor:
        """Return values of the regulators ``(B, R)`` from log values ``(B, G)``; see :class:`ValueMixture`."""
        observed = self.scale.rank_score(log_expr[:, self.regulator_index], self.regulator_index)
        return self.mixture(observed, self.scale.standardise(log_expr), unseen)

    def target_values(self, log_expr: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return values of targets ``(B, T)`` from log values ``(B, G)``; see :class:`ValueMixture`."""
        observed = self.scale.rank_score(log_expr[:, target], target)
        return self.mixture.targets(observed, self.scale.standardise(log_expr), target)

    def map_covariates(self, tensors: Tensors, unseen: torch.Tensor | None = None) -> torch.Tensor:
        """Return what the map is free of, ``(B, U + 2)`` on the device of the module: covariates and depth."""
        depth = self.scale.depth(self.counts(tensors), unseen, self.size_factor(tensors))
        return torch.cat([self.covariates(tensors).to(self.device), depth], dim=1)

    def log_expr(self, tensors: Tensors, unseen: torch.Tensor | None = None) -> torch.Tensor:
        """Return depth-normalised log values of all genes, shape ``(B, G)``, on the device of the module."""
        return self.scale.log_expr(self.counts(tensors), unseen, self.size_factor(tensors))

    def counts(self, tensors: Tensors) -> torch.Tensor:
        """Return the counts, shape ``(B, G)``, on the device of the module."""
        return dense(tensors[REGISTRY_KEYS.X_KEY]).to(self.device)

    def size_factor(self, tensors: Tensors) -> torch.Tensor | None:
        """Return the registered size factors, shape ``(B, 1)``, None if the library size serves."""
        size_factor = tensors.get(REGISTRY_KEYS.SIZE_FACTOR_KEY) if self.use_size_factor_key else None
        return None if size_factor is None else size_factor.to(self.device)

    def covariates(self, tensors: Tensors) -> torch.Tensor:
        """Return one-hot batches and categories, then continuous covariates, shape ``(B, U)``."""
        return covariate_columns(tensors, n_batch=self.n_batch, n_cats_per_cov=self.n_cats_per_cov)
