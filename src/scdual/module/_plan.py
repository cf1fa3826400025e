"""How SCDual is optimised."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from lightning.pytorch.plugins import MixedPrecision
from scvi import REGISTRY_KEYS
from scvi.module.base import BaseModuleClass
from scvi.train import TrainingPlan
from torchmetrics import Metric

from scdual.module._arguments import PLAN_CHECKS, check_arguments
from scdual.module._axes import fit_axes
from scdual.module._mean import MeanOverCells
from scdual.module._processes import AllCells, share_split, share_state

Cells = Iterable[dict[str, torch.Tensor]]
N_STEPS_KL_WARMUP = 400


def warmup_cosine(step: int, *, n_warmup: int, n_steps: int) -> float:
    """Return the factor of the learning rate: a linear rise, then half a cosine down to zero."""
    if step < n_warmup:
        return (step + 1) / n_warmup
    progress = (step - n_warmup) / max(1, n_steps - n_warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


class SCDualTrainingPlan(TrainingPlan):
    """AdamW with a warm-up and a cosine decay per step.

    Vectors (biases, norms) and look-up tables are not decayed. Encoder and count decoder learn faster than the map, and
    what starts at its best linear value learns slowly.
    At every start of a fit the module is put into training mode and, at the first, told the scale of the expression
    values.

    Parameters
    ----------
    module
        The module to train.
    lr
        Peak learning rate of the map; those of encoder and count decoder, and of the gate's start, are multiples of it.
    weight_decay
        Decoupled weight decay of matrices.
    eps
        Numerical constant of AdamW.
    n_steps_warmup
        Steps over which the learning rate rises; at most a tenth of all steps are spent on it.
    n_steps_kl_warmup
        Steps over which the weight of the KL divergence rises.
    max_kl_weight
        Weight of the KL divergence in the end. Above 1 the prior pulls harder than in a variational autoencoder, which
        leaves fewer dimensions in use, keeps batches out of them and types apart :cite:p:`Higgins17`. None is 2, and
        less for few genes: below 1,000 down to 0.8, below 1,500 of a single batch down to 0.4.
    map_every
        The map learns from the first of this many minibatches; with several processes from each. What
        :meth:`~scdual.model.SCDual.get_regulation` returns by default is known before the first step and does not change.
    compile
        Whether to compile the module with :func:`torch.compile`.
    compile_kwargs
        Arguments of :func:`torch.compile`.
    on_step, on_epoch
        Whether metrics are logged per step and per epoch.
    """

    fast_factor = 10 / 3  # of encoder and count decoder; that of the gate's offsets is in the settings of the map

    def __init__(  # noqa: PLR0913 - those of scvi-tools
        self,
        module: BaseModuleClass,
        *,
        lr: float = 1.5e-3,
        weight_decay: float = 1e-2,
        eps: float = 1e-8,
        n_steps_warmup: int = 50,
        n_steps_kl_warmup: int = N_STEPS_KL_WARMUP,
        max_kl_weight: float | None = None,
        map_every: int = 4,
        compile: bool = False,
        compile_kwargs: dict[str, Any] | None = None,
        on_step: bool | None = False,
        on_epoch: bool | None = True,
    ) -> None:
        check_arguments(locals(), PLAN_CHECKS)
        if max_kl_weight is None:
            max_kl_weight = 2 * module.cell_state.regularisation.kl
        super().__init__(
            module,
            optimizer="AdamW",
            lr=lr,
            weight_decay=weight_decay,
            eps=eps,
            n_steps_kl_warmup=n_steps_kl_warmup,
            n_epochs_kl_warmup=None,
            max_kl_weight=max_kl_weight,
            compile=compile,
            compile_kwargs=compile_kwargs,
            on_step=on_step,
            on_epoch=on_epoch,
        )
        self.n_steps_warmup = n_steps_warmup
        self.map_every = map_every
        self._means: dict[str, MeanOverCells] = {}  # of what is logged
        self._logged: set[str] = set()  # in this epoch
        self._n_cells = 0  # of this minibatch

    def setup(self, stage: str) -> None:
        """Let all processes train and validate on the same cells."""
        super().setup(stage)
        share_split(self.trainer)

    def on_fit_start(self) -> None:
        """Learn the scale of the values and where the map starts from all cells, unless that has been done.

        Leaving the validation cells out would cost the map a tenth of the cells.
        """
        super().on_fit_start()
        if not self.module.is_scaled:
            self._learn(self.module.fit_scale)

    def on_train_start(self) -> None:
        """Switch dropout and hiding on; scvi-tools leaves a trained module in evaluation mode."""
        super().on_train_start()
        self.module.train()

    def on_train_epoch_start(self) -> None:
        """Log anew."""
        super().on_train_epoch_start()
        self._logged.clear()

    def on_validation_epoch_start(self) -> None:
        """Log anew."""
        super().on_validation_epoch_start()
        self._logged.clear()

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        """Let the map learn from every few minibatches of an epoch, the first among them."""
        self._n_cells = len(batch[REGISTRY_KEYS.X_KEY])
        self.loss_kwargs["map_weight"] = self._map_weight(batch_idx)
        try:
            return super().training_step(batch, batch_idx)
        finally:
            self.loss_kwargs["map_weight"] = 1.0  # of validation

    def _map_weight(self, batch_idx: int) -> float:
        """Return for how many minibatches the map's objective stands, so that the loss of an epoch is that of all.

        With several processes it is in each: they wait for gradients of all parameters.
        """
        if self.trainer.world_size > 1:
            return 1.0
        if batch_idx % self.map_every:
            return 0.0
        n_batches = self.trainer.num_training_batches
        return self.map_every if math.isinf(n_batches) else n_batches / math.ceil(n_batches / self.map_every)

    def validation_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> None:
        """Validate a minibatch; what is logged is a mean over its cells."""
        self._n_cells = len(batch[REGISTRY_KEYS.X_KEY])
        super().validation_step(batch, batch_idx)

    def on_validation_epoch_end(self) -> None:
        """Fit the axes of the embedding before a checkpoint is written."""
        super().on_validation_epoch_end()
        if self.trainer.checkpoint_callback is not None:
            self._learn(self.fit_axes)

    def on_train_end(self) -> None:
        """Fit the axes of the embedding."""
        super().on_train_end()
        self.finish()

    def finish(self) -> None:
        """Fit the axes of the embedding to the trained module."""
        self._learn(self.fit_axes)

    def _learn(self, learn: Callable[[Cells], None]) -> None:
        """Let one process learn something from all cells, and share it with the others."""
        if self.trainer.is_global_zero:
            learn(self.all_cells())
        share_state(self.module, self.trainer)

    def all_cells(self) -> AllCells:
        """Return the minibatches of training and validation, those of all processes."""
        return AllCells(self.trainer.datamodule)

    def fit_axes(self, cells: Cells) -> None:
        """Fit the axes of the embedding to minibatches of cells, in the same order each time."""
        was_training = self.module.training
        self.module.eval()
        with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            scale = self.module.map.values.scale
            fit_axes(self.module.cell_state, scale.log_library_size, self.module.latent_states(cells))
        self.module.train(was_training)

    def log(self, name: str, value: Any, *args: Any, batch_size: int | None = None, **kwargs: Any) -> None:
        """Log a value; its mean over an epoch once an epoch, for Lightning takes half a millisecond each time.

        Outside of inference mode, into which scvi-tools goes: its tensors cannot be averaged over processes.
        """
        n_cells = batch_size or self._n_cells
        with torch.inference_mode(False), torch.no_grad():
            if kwargs.get("on_epoch") and not kwargs.get("on_step"):
                if not isinstance(value, Metric):
                    kwargs["metric_attribute"] = f"_means.{name}"
                    value = self._mean(name, value, n_cells)
                if name in self._logged:
                    return
                self._logged.add(name)
            super().log(name, value, *args, batch_size=n_cells, **kwargs)

    def _mean(self, name: str, value: torch.Tensor | float, n_cells: int) -> MeanOverCells:
        """Return the mean of what has been logged under a name in this epoch."""
        if name not in self._means:
            self._means[name] = MeanOverCells().to(self.device)
        self._means[name].update(value, n_cells)
        return self._means[name]

    def configure_optimizers(self) -> dict[str, Any]:
        """Return the optimiser and its schedule."""
        named = self.module.named_parameters()
        parameters = [(name.removeprefix("_orig_mod."), p) for name, p in named if p.requires_grad]
        by_group, slow_factor = defaultdict(list), self.module.map.settings.gate_rate
        for name, parameter in parameters:
            is_slow = name.startswith(self.module.warm_started_names)
            is_table = is_slow or name.startswith(self.module.table_names)
            factor = self.fast_factor if name.startswith(self.module.embedding_names) else 1.0
            decay = 0.0 if is_table or parameter.ndim <= 1 else self.weight_decay
            by_group[slow_factor if is_slow else factor, decay].append(parameter)
        groups = [
            {"params": group, "lr": factor * self.lr, "weight_decay": decay}
            for (factor, decay), group in by_group.items()
        ]
        fused = not isinstance(self.trainer.precision_plugin, MixedPrecision)  # which clips no gradients of a fused one
        optimizer = torch.optim.AdamW(groups, lr=self.lr, eps=self.eps, fused=fused)
        n_steps = int(self.trainer.estimated_stepping_batches)
        n_warmup = max(1, min(self.n_steps_warmup, n_steps // 10))
        schedule = partial(warmup_cosine, n_warmup=n_warmup, n_steps=n_steps)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
