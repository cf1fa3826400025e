"""The regulatory map: who regulates whom, learnt by predicting each gene from its regulators.

Inside tensors row = target, column = regulator.

Dimension key
    B  cells in the minibatch      G  genes      R  regulators      T  targets
    D  embedding width      S  expression states      U  covariates after one-hot coding
"""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from scdual._constants import LOSS_KEYS
from scdual.module._losses import edge_sparsity, prior_disagreement, regulation_loss
from scdual.module.map._hiding import Hidden, Hiding
from scdual.module.map._posterior import KnownPairs
from scdual.module.map._prior import prior_activity, prior_factor, prior_trust
from scdual.module.map._sample import CellSample
from scdual.module.map._scale import N_DEPTH
from scdual.module.map._settings import DEFAULT_SETTINGS, MapSettings
from scdual.module.map._start import LinearStart, fit_values, linear_start
from scdual.module.map._values import MapCells, MapValues
from scdual.nn import (
    CovariateEffects,
    ExpressionBranch,
    ExpressionEmbedding,
    GeneBranch,
    GeneContext,
    GeneEmbedding,
    NetworkMaps,
    RegulationDecoder,
    RegulatorValues,
    SignedGate,
)

_LARGEST_FACTOR = 1e6  # far more than a prior is worth; keeps weights finite and above 0, whatever its weight


class RegulationMap(nn.Module):
    r"""Dual-branch transformer that predicts the values of genes from those of their regulators.

    Its objective for a minibatch is, in nats per cell,

    .. math::
        G \left( \frac{\lambda}{2} \, \mathrm{MSE} + \lambda_s \, \mathrm{sparsity}
        + \lambda_p \, \mathrm{disagreement} \right)

    where the MSE is that of the sampled targets predicted from their visible regulators.

    Parameters
    ----------
    n_genes
        Number of genes ``G``.
    regulators
        Positions of the regulators among the genes; None takes all.
    prior_strength, prior_sign
        Prior network, each ``(G, R)``.
    n_categories
        Columns of each categorical covariate, the batch first.
    n_continuous
        Number of continuous covariates.
    n_layers
        Blocks of the gene branch and of the expression branch.
    n_embed, n_heads
        Width ``D`` and attention heads of both branches.
    n_bins
        Bins of non-zero expression values.
    visible_share, target_share
        Those of :class:`Hiding`.
    denoised_weight
        That of :class:`ValueMixture`.
    regulation_weight, sparsity_weight, prior_weight
        Weights of the terms of the objective.
    min_cells
        Cells in which a regulator has to be expressed to have edges.
    settings
        Tuned numbers.
    """

    prior_strength: torch.Tensor | None
    prior_sign: torch.Tensor  # None, as the factor is, if there is no strength
    prior_factor: torch.Tensor

    def __init__(  # noqa: PLR0913 - the sizes of all its parts
        self,
        n_genes: int,
        *,
        regulators: Sequence[int] | None = None,
        prior_strength: torch.Tensor | None = None,
        prior_sign: torch.Tensor | None = None,
        n_categories: Sequence[int] = (1,),
        n_continuous: int = 0,
        n_layers: int = 1,
        n_embed: int = 64,
        n_heads: int = 2,
        n_bins: int = 4,
        visible_share: float | None = None,
        target_share: float = 0.25,
        denoised_weight: float | None = None,
        regulation_weight: float = 1.0,
        sparsity_weight: float = 0.0,
        prior_weight: float = 1.0,
        min_cells: int = 3,
        settings: MapSettings = DEFAULT_SETTINGS,
    ) -> None:
        super().__init__()
        index = torch.arange(n_genes) if regulators is None else torch.as_tensor(list(regulators), dtype=torch.int64)
        self.n_genes, self.n_regulators, self.settings = n_genes, len(index), settings
        self.regulation_weight, self.sparsity_weight = regulation_weight, sparsity_weight
        self.prior_weight, self.min_cells = prior_weight, min_cells
        n_covariates = sum(n_categories) + n_continuous
        self.values = MapValues(
            n_genes, index, n_covariates=n_covariates, denoised_weight=denoised_weight, settings=settings
        )
        self.known = KnownPairs(n_genes, len(index))
        self.register_buffer("prior_strength", None if prior_strength is None else prior_strength.clone())
        self.register_buffer("prior_sign", None if prior_sign is None else prior_sign.clone())
        self.register_buffer("prior_factor", None if prior_strength is None else torch.ones_like(prior_strength))
        self.hiding = Hiding(
            n_genes, len(index), target_share=target_share, visible_share=visible_share, settings=settings
        )
        self.gene_embedding = GeneEmbedding(n_genes, n_embed)
        self.expr_embedding = ExpressionEmbedding(n_embed, n_bins=n_bins)
        attention = {"n_heads": n_heads, "n_kv_latent": n_embed // 2, "n_layers": n_layers}
        self.gene_branch = GeneBranch(n_embed, **attention)
        self.gate = SignedGate(n_genes, len(index), n_embed=n_embed, n_rank=settings.gate_rank)
        self.expr_branch = ExpressionBranch(n_embed, n_head_width=n_embed // n_heads, **attention)
        effects = CovariateEffects(n_genes, n_categories=n_categories, n_continuous=n_continuous + N_DEPTH)
        self.regulation_decoder = RegulationDecoder(effects, n_genes)

    @property
    def regulator_index(self) -> torch.Tensor:
        """Positions of the regulators among the genes, shape ``(R,)``."""
        return self.values.regulator_index

    @property
    def is_fitted(self) -> bool:
        """Whether the cells have told the scale of the values and the start of the gate."""
        return bool(self.values.scale.is_fitted)

    # ---- before training ------------------------------------------------------------------------------------------

    @torch.no_grad()
    def fit(self, batches: Iterable[MapCells]) -> None:
        """Learn from the cells what is not left to gradients: the scale of the values, how much to hide, the start.

        Parameters
        ----------
        batches
            Minibatches of the cells, those of validation included; they are read several times.
        """
        start, sample = self.learn(batches)
        if self.prior_strength is not None:
            self._weigh_prior(self.prior_strength, start.weight * (start.posterior.z != 0), sample)
        self._set_start(start)

    @torch.no_grad()
    def learn(self, batches: Iterable[MapCells]) -> tuple[LinearStart, CellSample]:
        """Learn what is known about the pairs; return where gradients may start, and the cells that told.

        Arguments are those of :meth:`fit`.
        """
        fitted = fit_values(self.values, self.hiding, self.expr_embedding, batches, self.settings)
        penalty, min_cells = self.hiding.penalty, self.min_cells
        start = linear_start(self.values, batches, fitted, penalty=penalty, min_cells=min_cells, settings=self.settings)
        self.known.set(start.posterior, start.n_cells)
        return start, fitted.sample

    def _weigh_prior(self, strength: torch.Tensor, weight: torch.Tensor, sample: CellSample) -> None:
        """Trust the prior as far as ``weight``, learnt without it and 0 where there is no pair, bears it out."""
        trust = prior_trust(weight, strength, settings=self.settings)
        activity = prior_activity(self.values, sample, weight, strength)
        factor = prior_factor(strength, trust, activity) ** self.prior_weight
        self.prior_factor.copy_(factor.clamp(1 / _LARGEST_FACTOR, _LARGEST_FACTOR))
        strength.mul_(trust)

    def _set_start(self, start: LinearStart) -> None:
        """Start gate and covariates at the best linear prediction, if attention is uniform, and genes near their regulators."""
        weight = start.weight
        self.regulation_decoder.effects.set(start.effects)
        self.gene_embedding.move_to_regulators(weight, self.regulator_index)
        gate, state = torch.empty_like(weight), self.gene_state()
        regulator_state = state[self.regulator_index]
        for target in torch.arange(self.n_genes, device=weight.device).split(self.settings.target_chunk):
            gain = self.expr_branch.initial_gain(self._context_of(state[target], regulator_state, target))
            gate[target] = weight[target] / (self.hiding.visible_share * gain.clamp_min(1e-6))
        factor = max(1.0, float(gate.abs().max()) / self.settings.largest_gate)
        self.expr_branch.scale_gain(factor)
        self.gate.set_expectation(gate.div_(factor))

    # ---- genes, once per step -------------------------------------------------------------------------------------

    def gene_state(self) -> torch.Tensor:
        """Return the gene states ``(G, D)``; at inference they are computed once and kept."""
        return self.gene_branch.states(self.gene_embedding, self.regulator_index)

    def keep_mask(self, target: torch.Tensor) -> torch.Tensor:
        """Return where targets ``(T,)`` and regulators are different genes, shape ``(T, R)``."""
        return target[:, None] != self.regulator_index

    def gate_of(self, target: torch.Tensor) -> torch.Tensor:
        """Return the signed gate of targets ``(T,)``, shape ``(T, R)``."""
        state = self.gene_state()
        return self.gate(state[target], state[self.regulator_index], target)

    def context(self, target: torch.Tensor) -> GeneContext:
        """Return what the expression branch needs of targets ``(T,)`` and of all regulators."""
        return self._context_of(*self._states_of(target), target)

    def _states_of(self, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the states of targets ``(T, D)`` and of all regulators ``(R, D)``; in training no others are computed."""
        if not self.training:
            state = self.gene_state()
            return state[target], state[self.regulator_index]
        both, n_regulators = torch.cat([self.regulator_index, target]), len(self.regulator_index)
        state = self.gene_branch(self.gene_embedding()[both], torch.arange(n_regulators, device=target.device))
        return state[n_regulators:], state[:n_regulators]

    def _context_of(
        self, target_state: torch.Tensor, regulator_state: torch.Tensor, target: torch.Tensor
    ) -> GeneContext:
        """Return the context of targets ``(T,)``, given their states and those of the regulators."""
        return GeneContext(
            target_state=target_state,
            regulator_state=regulator_state,
            expr_states=self.expr_embedding.states(),
            gate=self.gate(target_state, regulator_state, target),
            keep_mask=self.keep_mask(target),
            logit_bias=None if self.prior_strength is None else self.prior_weight * self.prior_strength[target],
        )

    # ---- cells ----------------------------------------------------------------------------------------------------

    def regulator_values(self, log_expr: torch.Tensor, unseen: torch.Tensor | None = None) -> RegulatorValues:
        """Return values and expression states of all regulators, each ``(B, R)``, from log values ``(B, G)``."""
        state = self.expr_embedding.state_of(log_expr[:, self.regulator_index])
        return RegulatorValues(self.values.of_regulators(log_expr, unseen), state)

    def predict(self, cells: MapCells, hidden: Hidden) -> torch.Tensor:
        """Return standardised targets predicted from the visible regulators, shape ``(B, T)``.

        Neither the count of a target nor its part of the library size takes part in its prediction.
        """
        return self._predict(cells, self.values.log_expr(cells, hidden.target), self.context(hidden.target), hidden)

    def _predict(self, cells: MapCells, log_expr: torch.Tensor, genes: GeneContext, hidden: Hidden) -> torch.Tensor:
        values = self.regulator_values(log_expr, hidden.target)
        values = values.hide(hidden.visible_mask, self.expr_embedding.mask_state)
        covariates = self.values.covariates(cells, hidden.target)
        return self.regulation_decoder(self.expr_branch(genes, values), covariates, hidden.target)

    def objective(self, cells: MapCells) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return what the map is trained on, in nats per cell, and its parts; in training each call hides others."""
        hidden = self.hiding.draw(len(cells.counts)) if self.training else self.hiding.fixed()
        log_expr = self.values.log_expr(cells, hidden.target)
        genes = self.context(hidden.target)
        prediction = self._predict(cells, log_expr, genes, hidden)
        truth = self.values.of_targets(log_expr, hidden.target)
        parts = {
            LOSS_KEYS.REGULATION: regulation_loss(prediction, truth).mean(),
            LOSS_KEYS.SPARSITY: edge_sparsity(genes.gate),
        }
        if self.prior_strength is not None:
            strength, sign = self.prior_strength[hidden.target], self.prior_sign[hidden.target]
            parts[LOSS_KEYS.PRIOR] = prior_disagreement(genes.gate, strength, sign)
        objective = (
            0.5 * self.regulation_weight * parts[LOSS_KEYS.REGULATION]
            + self.sparsity_weight * parts[LOSS_KEYS.SPARSITY]
            + self.prior_weight * parts.get(LOSS_KEYS.PRIOR, 0.0)
        )
        return self.n_genes * objective, parts

    def maps(self, values: RegulatorValues, target: torch.Tensor) -> NetworkMaps:
        """Return the maps of targets ``(T,)``, each ``(T, R)``, averaged over cells with these regulator values."""
        return self.expr_branch.maps(self.context(target), values, float(self.hiding.visible_share))
