"""The probabilistic model behind SCDual, in the scvi-tools module contract.

Dimension key
    B  cells in the minibatch      G  genes      R  regulators      L  labels
    D  embedding width      Z  latent dimensions      U  covariates after one-hot coding
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from scvi import REGISTRY_KEYS
from scvi.module.base import BaseModuleClass, EmbeddingModuleMixin, LossOutput, auto_move_data
from torch import nn
from torch.distributions import Normal

from scdual._constants import LOSS_KEYS
from scdual._types import BatchRepresentation, Dispersion, GeneLikelihood
from scdual.module._arguments import check_module
from scdual.module._cell_state import CellState, mean_shares
from scdual.module._covariates import batch_of, covariate_columns, dispersion_group, move_to_batch
from scdual.module._likelihood import marginal_log_likelihood
from scdual.module._losses import classification_loss, reconstruction_loss
from scdual.module._minibatch import MapBatches, check_minibatch, dense
from scdual.module.map import DEFAULT_SETTINGS, MapCells, RegulationMap
from scdual.nn import Tokens, kl_to_prior, positions

Tensors = dict[str, torch.Tensor]


class SCDualModule(EmbeddingModuleMixin, BaseModuleClass):
    r"""Variational model of counts, ``cell_state``, beside a regulatory map, ``map``.

    The loss of a minibatch is, in nats per cell,

    .. math::
        -\mathrm{ELBO} + \mathrm{objective\ of\ the\ map}

    with the objective of :class:`~scdual.module.RegulationMap`. With labels, the cross-entropy of a linear classifier of
    the latent state is added.

    Parameters
    ----------
    n_input
        Number of genes ``G``.
    regulators
        Positions of the regulators among the genes; None takes all.
    prior_strength, prior_sign
        Prior network, each ``(G, R)``.
    n_batch, n_labels, n_continuous_cov, n_cats_per_cov
        Numbers of batches, labels, continuous covariates, and categories of each categorical covariate.
    n_hidden
        Width of the count decoder.
    n_latent
        Number of latent dimensions ``Z``.
    n_latent_components
        Number of normal distributions whose mixture is the prior of the latent state; see :class:`~scdual.nn.LatentPrior`.
    n_layers
        Blocks of the gene branch and of the expression branch.
    n_embed
        Embedding width ``D`` of both branches.
    n_heads
        Attention heads of both branches.
    n_pool
        Latents that pool a cell, each of width ``D / 2``.
    n_bins
        Bins of non-zero expression values.
    dropout_rate
        Share of the expressed genes hidden from the encoder while training; None is 0.5, less for few genes.
    gene_likelihood
        Distribution of the counts.
    dispersion
        What shares an inverse dispersion of the negative binomial. One of:

        * ``'gene'`` - all cells
        * ``'gene-batch'``, ``'gene-label'`` - the cells of a batch or label
        * ``'gene-cell'`` - nothing; it is decoded for each cell
    batch_representation
        How encoder and count decoder see the batch: ``'one-hot'`` or ``'embedding'``, a learnt vector.
    batch_embedding_kwargs
        Arguments of the embedding, such as ``{"embedding_dim": 5}``.
    use_size_factor_key
        Whether a size factor replaces the library size in the decoder.
    min_cells
        Cells in which a regulator has to be expressed to have edges.
    visible_share
        Share of the regulators that a target may listen to in one training step. None reads it off the data: the more
        the regulators tell the same, the fewer are visible at a time.
    target_share
        Share of the genes that are targets in one training step.
    denoised_weight
        Weight of denoised beside observed regulator values. None reads it off the data: see
        :class:`~scdual.module.ValueMixture`.
    regulation_weight, sparsity_weight, prior_weight
        Weights of the loss terms.
    classification_weight
        Weight of the classifier in the latent state; 0 leaves the embedding untouched by the labels, and the classifier
        learns all the same.
    has_unlabeled
        Whether the last label stands for cells without one.
    extra_payload_autotune
        Whether the loss carries the latent state for :mod:`scvi.autotune`.
    """

    # beginnings of names: tables are not decayed, nor is what starts at its best linear value, which is slow to change
    table_names = (
        *("map.gene_embedding", "cell_state.pooling.gene_value", "cell_state.pooling.query"),
        *("cell_state.pooling_effects", "cell_state.decoder.effects", "cell_state.decoder.gene_effects"),
        *(
            "cell_state.prior",
            "cell_state.decoder.log_inverse_dispersion",
            "map.regulation_decoder.effects",
            "_embeddings_dict",
        ),
    )
    warm_started_names = ("map.gate.pair_offset",)
    embedding_names = ("cell_state", "classifier", "_embeddings_dict")  # the map does without
    map_settings = DEFAULT_SETTINGS

    def __init__(  # noqa: PLR0913 - the builder: the only place where all sizes meet
        self,
        n_input: int,
        *,
        regulators: Sequence[int] | None = None,
        prior_strength: torch.Tensor | None = None,
        prior_sign: torch.Tensor | None = None,
        n_batch: int = 1,
        n_labels: int = 1,
        n_continuous_cov: int = 0,
        n_cats_per_cov: Iterable[int] | None = None,
        n_hidden: int = 128,
        n_latent: int = 20,
        n_latent_components: int = 30,
        n_layers: int = 1,
        n_embed: int = 64,
        n_heads: int = 2,
        n_pool: int = 8,
        n_bins: int = 4,
        dropout_rate: float | None = None,
        gene_likelihood: GeneLikelihood = "nb",
        dispersion: Dispersion = "gene",
        batch_representation: BatchRepresentation = "one-hot",
        batch_embedding_kwargs: Mapping[str, Any] | None = None,
        use_size_factor_key: bool = False,
        visible_share: float | None = None,
        min_cells: int = 3,
        denoised_weight: float | None = None,
        target_share: float = 0.25,
        regulation_weight: float = 1.0,
        sparsity_weight: float = 0.0,
        prior_weight: float = 1.0,
        classification_weight: float = 0.0,
        has_unlabeled: bool = False,
        extra_payload_autotune: bool = False,
    ) -> None:
        check_module(locals())
        super().__init__()
        n_cats_per_cov = list(n_cats_per_cov or [])
        self.n_input, self.n_batch, self.n_labels, self.n_latent = n_input, n_batch, n_labels, n_latent
        self.n_cats_per_cov, self.gene_likelihood, self.dispersion = n_cats_per_cov, gene_likelihood, dispersion
        self.n_continuous_cov = n_continuous_cov
        self.use_size_factor_key, self.extra_payload_autotune = use_size_factor_key, extra_payload_autotune
        self.classification_weight = classification_weight
        covariate_sizes: dict[str, Any] = {
            "n_categories": [n_batch, *n_cats_per_cov],
            "n_continuous": n_continuous_cov,
        }
        self.map = RegulationMap(
            n_input,
            regulators=regulators,
            prior_strength=prior_strength,
            prior_sign=prior_sign,
            **covariate_sizes,
            n_layers=n_layers,
            n_embed=n_embed,
            n_heads=n_heads,
            n_bins=n_bins,
            visible_share=visible_share,
            min_cells=min_cells,
            target_share=target_share,
            denoised_weight=denoised_weight,
            regulation_weight=regulation_weight,
            sparsity_weight=sparsity_weight,
            prior_weight=prior_weight,
            settings=self.map_settings,
        )

        self.has_batch_embedding = batch_representation == "embedding"
        if self.has_batch_embedding:
            self.init_embedding(REGISTRY_KEYS.BATCH_KEY, n_batch, **(batch_embedding_kwargs or {}))
            width = self.get_embedding(REGISTRY_KEYS.BATCH_KEY).embedding_dim
            covariate_sizes["n_categories"] = [width, *n_cats_per_cov]
        self.cell_state = CellState(
            n_input,
            **covariate_sizes,
            n_embed=n_embed,
            n_heads=n_heads,
            n_pool=n_pool,
            dropout_rate=dropout_rate,
            n_latent=n_latent,
            n_latent_components=n_latent_components,
            n_hidden=n_hidden,
            n_dispersions={"gene": 1, "gene-batch": n_batch, "gene-label": n_labels, "gene-cell": None}[dispersion],
            gene_likelihood=gene_likelihood,
        )
        self.n_classes = n_labels - has_unlabeled
        self.classifier = nn.Linear(n_latent, self.n_classes) if self.n_classes > 1 else None

    # ---- what the map takes ---------------------------------------------------------------------------------------

    @property
    def is_scaled(self) -> bool:
        """Whether the map has learnt from the cells what is not left to gradients."""
        return self.map.is_fitted

    def fit_scale(self, dataloader: Iterable[Tensors]) -> None:
        """Learn from the cells the scale of the values, how much to hide, and where gate and count decoder start."""
        batches = self.map_batches(dataloader)
        self.map.fit(batches)
        if not self.has_batch_embedding:
            self.cell_state.decoder.start_at_shares(*mean_shares(batches, n_batch=self.n_batch))

    def regulation_objective(self, tensors: Tensors) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return what the regulatory map is trained on, in nats per cell, and its parts."""
        return self.map.objective(self.map_cells(tensors))

    def map_cells(self, tensors: Tensors) -> MapCells:
        """Return a minibatch as the map takes it, on the device of the module."""
        check_minibatch(tensors, n_genes=self.n_input, n_batch=self.n_batch)
        counts, size_factor = dense(tensors[REGISTRY_KEYS.X_KEY]), self.size_factor(tensors)
        return MapCells(counts.to(self.device), self.covariates(tensors).to(self.device), size_factor)

    def map_batches(self, dataloader: Iterable[Tensors]) -> MapBatches:
        """Return the minibatches of a loader as the map takes them."""
        return MapBatches(self.map_cells, dataloader)

    def size_factor(self, tensors: Tensors) -> torch.Tensor | None:
        """Return the registered size factors, shape ``(B, 1)``, None if the library size serves."""
        size_factor = tensors.get(REGISTRY_KEYS.SIZE_FACTOR_KEY) if self.use_size_factor_key else None
        return None if size_factor is None else size_factor.to(self.device)

    def covariates(self, tensors: Tensors) -> torch.Tensor:
        """Return one-hot batches and categories, then continuous covariates, shape ``(B, U)``."""
        sizes = {"n_batch": self.n_batch, "n_continuous": self.n_continuous_cov}
        return covariate_columns(tensors, n_cats_per_cov=self.n_cats_per_cov, **sizes)

    # ---- scvi-tools contract --------------------------------------------------------------------------------------

    def _get_inference_input(self, tensors: Tensors, full_forward_pass: bool = False) -> dict[str, Any]:
        check_minibatch(tensors, n_genes=self.n_input, n_batch=self.n_batch)
        return {
            "x": tensors[REGISTRY_KEYS.X_KEY],
            "covariates": self.covariates(tensors),
            "size_factor": self.size_factor(tensors),
        }

    @auto_move_data
    def inference(
        self, x: torch.Tensor, covariates: torch.Tensor, size_factor: torch.Tensor | None = None, n_samples: int = 1
    ) -> dict[str, Any]:
        """Return the posterior of the latent state and a sample of it, ``(B, Z)`` or ``(n_samples, B, Z)``."""
        x = dense(x)
        qz = self.encode(x, covariates, size_factor)
        z = qz.rsample() if n_samples == 1 else qz.rsample((n_samples,))
        library = x.sum(-1, keepdim=True).clamp_min(1.0).log()  # (B, 1)
        if n_samples > 1:
            library = library.expand(n_samples, *library.shape)
        return {"z": z, "qz": qz, "ql": None, "library": library, "covariates": covariates}

    def encode(self, x: torch.Tensor, covariates: torch.Tensor, size_factor: torch.Tensor | None = None) -> Normal:
        """Return the posterior, batch shape ``(B, Z)``, of counts ``(B, G)`` with covariates ``(B, U)``."""
        return self.cell_state.encode(
            self.tokens(x, size_factor),
            self.cell_covariates(covariates),
            gene_emb=self.map.gene_embedding.weight,
            expr_states=self.map.expr_embedding.states(),
        )

    def tokens(self, x: torch.Tensor, size_factor: torch.Tensor | None = None) -> Tokens:
        """Return the expressed genes of counts ``(B, G)``."""
        scale = self.map.values.scale
        position = positions(x != 0)  # (M,)
        cell = position // x.shape[1]
        gene = position - cell * x.shape[1]
        size = scale.size(x, size_factor=size_factor).squeeze(1).index_select(0, cell)
        log_expr = scale.log_expr(x.flatten().index_select(0, position), size_factor=size)
        value = log_expr / scale.std.sqrt().index_select(0, gene)
        return Tokens(cell, gene, value, self.map.expr_embedding.bin_of(log_expr))

    def _get_generative_input(self, tensors: Tensors, inference_outputs: dict[str, Any]) -> dict[str, Any]:
        return {
            "z": inference_outputs["z"],
            "library": inference_outputs["library"],
            "covariates": inference_outputs["covariates"],
            "labels": tensors.get(REGISTRY_KEYS.LABELS_KEY),
            "size_factor": self.size_factor(tensors),
        }

    @auto_move_data
    def generative(
        self,
        z: torch.Tensor,
        library: torch.Tensor,
        covariates: torch.Tensor,
        labels: torch.Tensor | None = None,
        size_factor: torch.Tensor | None = None,
        transform_batch: int | None = None,
    ) -> dict[str, Any]:
        """Return the distribution of the counts ``(B, G)`` given the latent state, in another batch if one is named."""
        if transform_batch is not None:
            covariates = move_to_batch(covariates, int(transform_batch), n_batch=self.n_batch)
        group = dispersion_group(self.dispersion, covariates, labels, n_batch=self.n_batch)
        log_size = library if size_factor is None else size_factor.log()
        px = self.cell_state.decode(z, log_size, self.cell_covariates(covariates), group)
        return {"px": px, "pl": None, "pz": self.cell_state.prior()}

    @torch.inference_mode()
    def sample(
        self, tensors: Tensors, n_samples: int = 1, generative_kwargs: dict[str, Any] | None = None
    ) -> torch.Tensor:
        """Return counts drawn from the posterior predictive, on the CPU, ``(B, G)`` or ``(B, G, n_samples)``."""
        given = {"inference_kwargs": {"n_samples": n_samples}, "generative_kwargs": generative_kwargs}
        counts = self.forward(tensors, **given, compute_loss=False)[1]["px"].sample().cpu()
        return counts if n_samples == 1 else counts.permute(1, 2, 0)

    def loss(
        self,
        tensors: Tensors,
        inference_outputs: dict[str, Any],
        generative_outputs: dict[str, Any],
        kl_weight: float = 1.0,
        map_weight: float = 1.0,
    ) -> LossOutput:
        """Return the loss and its parts; the map's objective counts for ``map_weight`` minibatches, 0 leaves it out."""
        x = dense(tensors[REGISTRY_KEYS.X_KEY])
        reconstruction = reconstruction_loss(generative_outputs["px"], x)  # (B,)
        kl = kl_to_prior(inference_outputs["qz"], inference_outputs["z"], generative_outputs["pz"])  # (B,)
        loss = (reconstruction + kl_weight * kl).mean()
        parts: dict[str, torch.Tensor] = {}
        if map_weight > 0:
            regulation, parts = self.regulation_objective(tensors)
            loss = loss + regulation + (map_weight - 1) * regulation.detach()
        if self.classifier is not None:
            z, weight = inference_outputs["z"], self.classification_weight
            logits, label = self.classifier(z if weight else z.detach()), tensors[REGISTRY_KEYS.LABELS_KEY]
            parts[LOSS_KEYS.CLASSIFICATION] = classification_loss(logits, label.squeeze(-1).long())
            loss = loss + (weight or 1.0) * parts[LOSS_KEYS.CLASSIFICATION]
        if self.extra_payload_autotune:
            batch, labels = tensors[REGISTRY_KEYS.BATCH_KEY], tensors[REGISTRY_KEYS.LABELS_KEY]
            parts |= {"z": inference_outputs["z"], "batch": batch, "labels": labels}
        return LossOutput(
            loss=loss,
            reconstruction_loss=reconstruction,
            kl_local={"kl_divergence_z": kl},
            extra_metrics=parts,
        )

    @auto_move_data
    def classify(self, tensors: Tensors, *, use_posterior_mean: bool = True) -> torch.Tensor:
        """Return the probability of each label, shape ``(B, L)``, at the mean of the latent state or a sample of it."""
        if self.classifier is None:
            msg = "The model knows no labels; register at least two with `labels_key` of `setup_anndata`."
            raise ValueError(msg)
        state = self.infer(tensors)
        return self.classifier(state["qz"].loc if use_posterior_mean else state["z"]).softmax(-1)

    @torch.inference_mode()
    def marginal_ll(
        self, tensors: Tensors, n_mc_samples: int, return_mean: bool = False, n_mc_samples_per_pass: int = 25
    ) -> torch.Tensor | float:
        """Return the marginal log-likelihood of each cell ``(B,)``, or its mean."""
        passes = {"n_samples": n_mc_samples, "n_samples_per_pass": n_mc_samples_per_pass}
        values = marginal_log_likelihood(self, tensors, **passes).cpu()
        return values.mean().item() if return_mean else values

    def infer(self, tensors: Tensors, n_samples: int = 1) -> dict[str, Any]:
        """Return what :meth:`inference` does for a minibatch."""
        return self.inference(**self._get_inference_input(tensors), n_samples=n_samples)

    def generate(self, tensors: Tensors, inferred: dict[str, Any]) -> dict[str, Any]:
        """Return what :meth:`generative` does for a minibatch with these latent states."""
        return self.generative(**self._get_generative_input(tensors, inferred))

    def latent_states(self, dataloader: Iterable[Tensors]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield mean latent states ``(B, Z)`` and covariates, as encoder and count decoder see them."""
        for tensors in dataloader:
            covariates = self.cell_covariates(self.covariates(tensors).to(self.device))
            yield self.infer(tensors)["qz"].loc, covariates

    def cell_covariates(self, covariates: torch.Tensor) -> torch.Tensor:
        """Return covariates as encoder and count decoder see them: the batch may be a learnt vector."""
        if not self.has_batch_embedding:
            return covariates
        batch = self.compute_embedding(REGISTRY_KEYS.BATCH_KEY, batch_of(covariates, n_batch=self.n_batch))
        return torch.cat([batch, covariates[:, self.n_batch :]], dim=1)
