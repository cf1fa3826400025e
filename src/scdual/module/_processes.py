"""Train in several processes: one of them learns from all cells what needs all cells, and the others take it over.

Sums over processes would divide that work, but quantiles of the genes and principal components are no sums, and without
them the map would not be that of a single process. It is read off in few passes, from a bounded number of cells for the
moments, while an epoch is one pass of many with gradients.
"""

from collections.abc import Iterator, Sized
from contextlib import contextmanager
from typing import Any, cast

import torch
from lightning import LightningDataModule
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import nn
from torch.utils.data import DataLoader, DistributedSampler

SPLIT = ("train_idx", "val_idx", "test_idx")  # of scvi-tools' data splitters


class AllCells:
    """The minibatches of training and validation, those of all processes, as often as they are asked for.

    Parameters
    ----------
    datamodule
        Source of the minibatches.
    """

    def __init__(self, datamodule: LightningDataModule) -> None:
        self.datamodule, self.loaders = datamodule, [datamodule.train_dataloader()]
        if is_overridden("val_dataloader", datamodule):
            self.loaders.append(datamodule.val_dataloader())  # None if no cell is set aside

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        for loader in filter(None, self.loaders):
            with _undivided(loader):
                for tensors in loader:  # which some datamodules make minibatches of on their way to the device
                    yield self.datamodule.on_before_batch_transfer(tensors, 0)


@contextmanager
def _undivided(loader: DataLoader[Any]) -> Iterator[None]:
    """Let the loader of one process read the cells of all of them, each once."""
    sampler = getattr(loader, "sampler", None)
    if not isinstance(sampler, DistributedSampler):
        yield
        return
    divided = vars(sampler).copy()
    sampler.num_replicas, sampler.rank = 1, 0
    sampler.num_samples = sampler.total_size = len(cast("Sized", sampler.dataset))
    try:
        yield
    finally:
        vars(sampler).update(divided)


def share_split(trainer: Trainer) -> None:
    """Give all processes the training, validation and test cells of the first; each has drawn its own.

    Parameters
    ----------
    trainer
        Trainer whose data module has been set up.
    """
    datamodule = getattr(trainer, "datamodule", None)
    if trainer.world_size == 1 or not all(hasattr(datamodule, name) for name in SPLIT):
        return
    split = trainer.strategy.broadcast([getattr(datamodule, name) for name in SPLIT])
    for name, cells in zip(SPLIT, split, strict=True):
        setattr(datamodule, name, cells)


def share_state(module: nn.Module, trainer: Trainer) -> None:
    """Give the modules of all processes the parameters and buffers of the first.

    Parameters
    ----------
    module
        Module of this process.
    trainer
        Trainer of this process.
    """
    if trainer.world_size > 1:
        for values in module.state_dict().values():
            torch.distributed.broadcast(values, src=0)
