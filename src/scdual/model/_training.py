"""Train SCDual."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from lightning import LightningDataModule
from lightning.pytorch.callbacks import EarlyStopping
from scvi import REGISTRY_KEYS
from scvi.dataloaders import AnnDataLoader
from scvi.model.base import UnsupervisedTrainingMixin

from scdual._checks import argument_names, check_flag, check_type, listed
from scdual._warning import warn
from scdual.data._counts import n_cells_expressing
from scdual.model._checkpoint import check_checkpoint
from scdual.model._datamodule import batch_size_of, check_datamodule
from scdual.model._devices import choose_strategy, n_devices, single_device
from scdual.model._interruption import as_before_if_it_fails, whole_or_undone
from scdual.model._map_memory import check_learnt
from scdual.model._record import Record, recorded
from scdual.model._saved_model import checkpoints_are_folders
from scdual.model._scvi import KwargsLike, merge_kwargs
from scdual.model._train_arguments import (
    check_early_stopping,
    check_hardware,
    check_lengths,
    check_plan,
    check_split,
    check_trainer,
    n_validation,
)
from scdual.model._trainer import QuietTrainRunner, no_moot_warnings
from scdual.module import SCDualTrainingPlan
from scdual.module._plan import N_STEPS_KL_WARMUP

MIN_STEPS = 1_000
MIN_EPOCHS = 10


def default_max_epochs(n_obs: int, batch_size: int) -> int:
    """Return the epochs that give at least 1,000 steps, and every cell at least 10 visits.

    Small data need many epochs and large data few, because what has to converge is counted in steps.

    Parameters
    ----------
    n_obs
        Number of cells; nine tenths of them train.
    batch_size
        Cells per step.
    """
    return max(MIN_EPOCHS, epochs_of(MIN_STEPS, n_obs, batch_size))


def epochs_of(n_steps: int, n_obs: int, batch_size: int) -> int:
    """Return the epochs in which a number of steps is made, by nine tenths of the cells."""
    return math.ceil(n_steps / math.ceil(0.9 * n_obs / batch_size))


def trainer_defaults(*, validates: bool, n_first: int) -> dict[str, Any]:
    """Return what scdual asks of the trainer unless the user does.

    Parameters
    ----------
    validates
        Whether cells are set aside for validation.
    n_first
        Epochs before which a training is not stopped: while the KL divergence counts little, the bound says little.
    """
    defaults = {"gradient_clip_val": 100.0, "early_stopping_monitor": "elbo_validation"}
    return defaults | {"early_stopping_warmup_epochs": n_first} | ({"check_val_every_n_epoch": 1} if validates else {})


def ends_otherwise(options: Mapping[str, Any]) -> bool:
    """Return whether a callback is to stop early, nothing is validated, or Lightning makes a step for a test."""
    stops = any(isinstance(each, EarlyStopping) for each in options.get("callbacks") or ())
    return stops or options.get("limit_val_batches") == 0 or bool(options.get("fast_dev_run"))


class TrainingMixin(UnsupervisedTrainingMixin):
    """The ``train`` method, with defaults for a transformer."""

    _training_plan_cls = SCDualTrainingPlan
    _train_runner_cls = QuietTrainRunner
    interrupted_: dict[str, int] | None
    ensemble_: list[dict[str, torch.Tensor]]
    null_: dict[str, torch.Tensor]
    record_: Record | None
    _is_built_from_data: bool

    @recorded
    @checkpoints_are_folders()
    def train(  # noqa: PLR0913 - the signature of scvi-tools
        self,
        max_epochs: int | None = None,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        train_size: float | None = None,
        validation_size: float | None = None,
        shuffle_set_split: bool = True,
        load_sparse_tensor: bool = False,
        batch_size: int = 128,
        early_stopping: bool | None = None,
        datasplitter_kwargs: dict[str, Any] | None = None,
        plan_config: KwargsLike | None = None,
        plan_kwargs: KwargsLike | None = None,
        datamodule: LightningDataModule | None = None,
        trainer_config: KwargsLike | None = None,
        **trainer_kwargs: Any,
    ) -> None:
        """Train the model.

        Parameters
        ----------
        max_epochs
            Number of passes over the training cells. None chooses at least 1,000 steps and at least 10 epochs.
        accelerator, devices
            Hardware, as in Lightning; ``"auto"`` takes a CUDA device if there is one, else the CPU. On several devices
            each trains with ``batch_size`` cells per step in a process of its own (``strategy="ddp"``), so the call
            belongs into a script; all processes end with the same weights, and the first has the history.
            ``num_nodes`` is the number of machines.
        train_size, validation_size
            Shares of the cells for training and validation; None trains on nine tenths and validates on the rest.
        shuffle_set_split
            Whether cells are shuffled before they are split.
        load_sparse_tensor
            EXPERIMENTAL. Whether minibatches travel to the device in sparse layout.
        batch_size
            Cells per minibatch.
        early_stopping
            Whether to stop when the evidence lower bound of the validation cells has not risen for 45 epochs. None does so,
            once the weight of the KL divergence has risen, if neither ``max_epochs`` nor ``datamodule`` nor a callback that stops
            early is given and a single process trains; more than about a thousand cells then train to the end all the same.
        datasplitter_kwargs
            Further arguments of :class:`~scvi.dataloaders.DataSplitter`.
        plan_config, plan_kwargs
            Arguments of :class:`~scdual.module.SCDualTrainingPlan`, such as ``lr``.
        datamodule
            EXPERIMENTAL. Source of minibatches when the model was built from a registry instead of data.
        trainer_config, **trainer_kwargs
            Arguments of :class:`~scvi.train.Trainer`, and ``ckpt_path``, a file of Lightning's ``ModelCheckpoint`` from
            which a training goes on to the weights that it would have had without a stop.

        Raises
        ------
        TypeError, ValueError
            If an argument is unknown or wrong, the model has neither data nor a ``datamodule``, no cell is left to
            validate early stopping, the length of the training cannot be chosen, ``strategy`` divides the model, the map
            does not fit into memory, all parameters are frozen, or ``ckpt_path`` is damaged, or of another model or other
            data. Nothing has been changed then.
        KeyboardInterrupt
            On Ctrl+C. The model is then partly trained and can be used, which it says when it is printed. After any
            other error, and before the first step, it is as it was before the call.
        """
        check_lengths(max_epochs, batch_size)
        check_hardware(accelerator, devices)
        check_split(
            train_size, validation_size, datasplitter_kwargs, n_obs=None if self.adata is None else self.adata.n_obs
        )
        check_flag("shuffle_set_split", shuffle_set_split)
        check_flag("load_sparse_tensor", load_sparse_tensor)
        check_flag("early_stopping", early_stopping, optional=True)
        check_plan(plan_config, plan_kwargs)
        check_trainer(trainer_config, trainer_kwargs, own=argument_names(self.train))
        check_type("datamodule", datamodule, LightningDataModule, optional=True)
        self._check_can_learn(datamodule)
        check_learnt(*self.module.map.known.weight.shape, accelerator=accelerator, n_processes=n_devices(devices))
        config = merge_kwargs(trainer_config, None, name="trainer")
        n_processes = n_devices(devices) * (trainer_kwargs.get("num_nodes") or config.get("num_nodes") or 1)
        strategy = choose_strategy(trainer_kwargs.get("strategy") or config.get("strategy"), n_processes)
        if strategy is not None:
            trainer_kwargs["strategy"] = strategy  # scvi-tools overlooks that of a config
        options = {**config, **trainer_kwargs}
        validates = self._validates(datamodule, train_size, validation_size, datasplitter_kwargs)
        may_stop = max_epochs is None and datamodule is None and n_processes == 1 and validates
        if early_stopping is None:  # that of a config is overlooked by scvi-tools
            early_stopping = config.get("early_stopping", may_stop and not ends_otherwise(options))
        check_early_stopping(early_stopping, validates=validates and options.get("limit_val_batches") != 0)
        n_obs = self.adata.n_obs if datamodule is None else getattr(datamodule, "n_obs", None)
        if max_epochs is None and n_obs is not None:
            max_epochs = default_max_epochs(n_obs, batch_size_of(datamodule, batch_size) * n_processes)
        check_checkpoint(trainer_kwargs.get("ckpt_path") or config.get("ckpt_path"), self, max_epochs=max_epochs)
        if trainer_kwargs.get("callbacks") is not None:
            trainer_kwargs["callbacks"] = list(trainer_kwargs["callbacks"])  # Lightning appends to the list
        if not validates and datamodule is None and train_size is None and validation_size is None:
            train_size = 1.0  # below ten cells scvi-tools would move some to a validation set that is not there
        n_first = epochs_of(N_STEPS_KL_WARMUP, self.adata.n_obs, batch_size) if may_stop else 0
        defaults = trainer_defaults(validates=validates, n_first=n_first)
        trainer_kwargs = {key: value for key, value in defaults.items() if config.get(key) is None} | trainer_kwargs
        if not self.module.map.is_fitted:
            self._name_rare_regulators()
        with no_moot_warnings(), whole_or_undone(self, options.get("callbacks") or ()):
            # else the map is frozen, and what is known about it stays
            if any(each.requires_grad for each in self.module.map.gate.parameters()):
                self.ensemble_, self.null_ = [], {}
            super().train(
                max_epochs=max_epochs,
                accelerator=accelerator,
                devices=devices,
                train_size=train_size,
                validation_size=validation_size,
                shuffle_set_split=shuffle_set_split,
                load_sparse_tensor=load_sparse_tensor,
                batch_size=batch_size,
                early_stopping=early_stopping,
                datasplitter_kwargs=datasplitter_kwargs,
                plan_config=plan_config,
                plan_kwargs=plan_kwargs,
                datamodule=datamodule,
                trainer_config=trainer_config,
                **trainer_kwargs,
            )

    @recorded
    def train_map(
        self, accelerator: str = "auto", devices: int | list[int] | str = "auto", batch_size: int = 128
    ) -> None:
        """Learn the regulatory map alone, in seconds, for those who need no embedding.

        It is the map that :meth:`train` learns before its first step: :meth:`get_regulation` with its evidence,
        :meth:`train_ensemble`, :meth:`compare_conditions`, :meth:`perturb` with ``shift=False`` and :meth:`annotate` work
        with it. Embedding, expression and what the transformer makes of the map need :meth:`train`, which may follow.
        A map that has been learnt stays as it is.

        Parameters
        ----------
        accelerator, devices
            Hardware, as in :meth:`train`, but a single device.
        batch_size
            Cells per minibatch.

        Raises
        ------
        TypeError, ValueError
            If an argument is wrong, the model has no data, or the map does not fit into memory.
        KeyboardInterrupt
            On Ctrl+C. The model is then, as after any error, as it was before the call.
        """
        check_lengths(None, batch_size)
        check_hardware(accelerator, devices)
        device = single_device(accelerator, devices, learns="the map alone is learnt")
        self._check_can_learn(None)
        check_learnt(*self.module.map.known.weight.shape, accelerator=accelerator, n_processes=1)
        if self.module.map.is_fitted:
            return
        self._name_rare_regulators()
        with as_before_if_it_fails(self):
            self.to_device(device)
            self.module.fit_scale(AnnDataLoader(self.adata_manager, batch_size=batch_size))
        self.module.eval()

    def _name_rare_regulators(self) -> None:
        """Warn of regulators that too few cells express."""
        if self.adata is None:
            return
        counts, min_cells = self.adata_manager.get_from_registry(REGISTRY_KEYS.X_KEY), self.module.map.min_cells
        n_cells = n_cells_expressing(counts)[self.module.map.regulator_index.cpu().numpy()]
        rare = [name for name, count in zip(self.regulators, n_cells, strict=True) if count < min_cells]
        if rare:
            warn(
                f"{len(rare)} of {len(self.regulators)} regulators are expressed in fewer than {min_cells} cells and get no "
                f"edges: {listed(rare)}. Leave them out of `regulators`, or pass another `min_cells`."
            )

    def _check_can_learn(self, datamodule: LightningDataModule | None) -> None:
        if datamodule is None and self.adata is None:
            msg = (
                "The model was loaded or built without data, so there is nothing to train on; "
                "set `model.adata = adata` or pass `datamodule=`."
            )
            raise ValueError(msg)
        if datamodule is not None:
            check_datamodule(datamodule, self.registry_, has_data=self._is_built_from_data)
        else:
            self._validate_anndata()  # the data must not have changed since they were set up
        if not any(parameter.requires_grad for parameter in self.module.parameters()):
            msg = (
                "Nothing can learn: all parameters are frozen, because the query has no batch that the reference does "
                "not know. Use the model as it is, or load the query with `unfrozen=True`."
            )
            raise ValueError(msg)

    def _validates(
        self,
        datamodule: LightningDataModule | None,
        train_size: float | None,
        validation_size: float | None,
        datasplitter_kwargs: dict[str, Any] | None,
    ) -> bool:
        """Return whether cells are set aside for validation, as far as that is known before the split."""
        if datamodule is not None:
            return train_size is None or train_size < 1
        external = (datasplitter_kwargs or {}).get("external_indexing")
        if external is not None:
            return len(external) > 1 and len(external[1]) > 0
        return n_validation(self.adata.n_obs, train_size, validation_size) > 0
