"""Train SCDual."""

import math
from typing import Any

import torch
from lightning import LightningDataModule
from scvi.model.base import UnsupervisedTrainingMixin

from scdual.model._scvi import KwargsLike, merge_kwargs
from scdual.module import SCDualTrainingPlan

MIN_STEPS = 1_000
MIN_EPOCHS = 10
_TRAIN_SIZE = 0.9  # the default of scvi-tools
_FEW_CELLS = 10


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
    steps_per_epoch = math.ceil(0.9 * n_obs / batch_size)
    return max(MIN_EPOCHS, math.ceil(MIN_STEPS / steps_per_epoch))


def _n_validation(n_obs: int, train_size: float | None, validation_size: float | None) -> int:
    """Return how many cells scvi-tools sets aside."""
    if validation_size is not None:
        return math.floor(n_obs * validation_size)
    return n_obs - math.ceil(n_obs * (_TRAIN_SIZE if train_size is None else train_size))


class TrainingMixin(UnsupervisedTrainingMixin):
    """The ``train`` method, with defaults for a transformer."""

    _training_plan_cls = SCDualTrainingPlan
    ensemble_: list[dict[str, torch.Tensor]]
    null_: dict[str, torch.Tensor]

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
        early_stopping: bool = False,
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
            Hardware, as in Lightning; ``"auto"`` takes a CUDA device if there is one, else the CPU.
        train_size, validation_size
            Shares of the cells for training and validation; None trains on nine tenths and validates on the rest.
        shuffle_set_split
            Whether cells are shuffled before they are split.
        load_sparse_tensor
            EXPERIMENTAL. Whether minibatches travel to the device in sparse layout.
        batch_size
            Cells per minibatch.
        early_stopping
            Whether to stop when the validation loss no longer falls.
        datasplitter_kwargs
            Further arguments of :class:`~scvi.dataloaders.DataSplitter`.
        plan_config, plan_kwargs
            Arguments of :class:`~scdual.module.SCDualTrainingPlan`, such as ``lr``.
        datamodule
            EXPERIMENTAL. Source of minibatches when the model was built from a registry instead of data.
        trainer_config, **trainer_kwargs
            Arguments of :class:`~scvi.train.Trainer`.

        Raises
        ------
        ValueError
            If the model has neither data nor a ``datamodule``, the length of the training cannot be chosen, or all
            parameters are frozen.
        """
        if datamodule is None and self.adata is None:
            msg = (
                "The model was loaded or built without data, so there is nothing to train on; "
                "set `model.adata = adata` or pass `datamodule=`."
            )
            raise ValueError(msg)
        if datamodule is None:
            self._validate_anndata()  # the data must not have changed since they were set up
        if not any(parameter.requires_grad for parameter in self.module.parameters()):
            msg = (
                "Nothing can learn: all parameters are frozen, because the query has no batch that the reference does "
                "not know. Use the model as it is, or load the query with `unfrozen=True`."
            )
            raise ValueError(msg)
        n_obs = self.adata.n_obs if datamodule is None else getattr(datamodule, "n_obs", None)
        if max_epochs is None and n_obs is not None:
            max_epochs = default_max_epochs(n_obs, batch_size)
        if trainer_kwargs.get("callbacks") is not None:
            trainer_kwargs["callbacks"] = list(trainer_kwargs["callbacks"])  # Lightning appends to the list
        defaults = {"gradient_clip_val": 100.0, "early_stopping_monitor": "validation_loss"}
        if train_size is None and n_obs is not None and n_obs < _FEW_CELLS:
            train_size = 1.0  # a tenth of them is no cell, and scvi-tools sets one or two aside all the same
        if n_obs is None or _n_validation(n_obs, train_size, validation_size):
            defaults["check_val_every_n_epoch"] = 1
        map_learns = any(parameter.requires_grad for parameter in self.module.gate.parameters())
        if map_learns:  # else what is known about it stays
            self.ensemble_, self.null_ = [], {}
        config = merge_kwargs(trainer_config, None, name="trainer")
        trainer_kwargs = {key: value for key, value in defaults.items() if config.get(key) is None} | trainer_kwargs
        super().train(
            max_epochs=max_epochs,
            accelerator=accelerator,
            devices=devices,
            train_size=train_size,
            validation_size=validation_size,
            shuffle_set_split=shuffle_set_split,
            load_sparse_tensor=load_sparse_tensor,
            batch_size=batch_size,
            early_stopping=early_stopping or config.get("early_stopping", False),  # scvi-tools overlooks the latter
            datasplitter_kwargs=datasplitter_kwargs,
            plan_config=plan_config,
            plan_kwargs=plan_kwargs,
            datamodule=datamodule,
            trainer_config=trainer_config,
            **trainer_kwargs,
        )
