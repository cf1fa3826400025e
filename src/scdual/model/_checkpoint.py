"""Let a training that was killed go on from a checkpoint of Lightning as if it had not stopped.

Lightning keeps weights, optimiser, schedule and the count of steps. What decides the rest is kept beside them: which cells
train and which validate, and the state of chance, from which the order of the cells, dropout and hiding are drawn.
"""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule
from torch import distributed

from scdual.model._scvi import N_CHECKS
from scdual.module._processes import SPLIT

_KEY = "scdual"  # in the checkpoint
State = dict[str, torch.Tensor]


class RunState(Callback):
    """Keep the split of the cells and the state of chance of each process in every checkpoint, and put them back.

    Attributes
    ----------
    came_to_its_end
        Whether Lightning has trained to the end; it does not when a checkpoint is of the last epoch.
    """

    came_to_its_end = False

    def on_save_checkpoint(self, trainer: Any, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add what Lightning does not keep."""
        split = {name: getattr(trainer.datamodule, name, None) for name in SPLIT}
        checkpoint[_KEY] = {
            "generators": _of_all_processes(_generators(pl_module.device)),
            "split": {name: torch.as_tensor(cells) for name, cells in split.items() if cells is not None},
            "data": _data(trainer._model),
            "checks": getattr(trainer.early_stopping_callback, N_CHECKS, 0),
        }

    def on_load_checkpoint(self, trainer: Any, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Put it back, before the first cell is drawn; checkpoints of other sources have none of it."""
        held = checkpoint.get(_KEY)
        if held is None:
            return
        for name, cells in held["split"].items():
            setattr(trainer.datamodule, name, cells.numpy())
        if trainer.early_stopping_callback is not None:
            setattr(trainer.early_stopping_callback, N_CHECKS, held.get("checks", 0))
        if len(held["generators"]) == trainer.world_size:
            _set_generators(held["generators"][trainer.global_rank], trainer.strategy.root_device)

    def on_train_end(self, trainer: Any, pl_module: LightningModule) -> None:
        """Note that the training has come to its end."""
        self.came_to_its_end = True


def check_checkpoint(path: str | PathLike[str] | None, model: Any, *, max_epochs: int | None) -> None:
    """Raise ``ValueError`` unless a training of a model can go on from a checkpoint.

    Parameters
    ----------
    path
        File that Lightning wrote; a word or an address is left to Lightning, and None is no checkpoint.
    model
        The model, built as it was for the training that the checkpoint is of.
    max_epochs
        Length of the training; None if it is not known.
    """
    if path is None or not Path(path).is_file():
        return
    try:
        held = torch.load(path, map_location="cpu")
        state, epochs = held["state_dict"], held["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
    except (UnpicklingError, RuntimeError, EOFError, OSError, KeyError, TypeError, ValueError) as error:
        lacks = isinstance(error, KeyError | TypeError)
        reason = "it lacks what Lightning writes" if lacks else "it cannot be read"
        msg = f"`ckpt_path` {path} is no whole checkpoint of Lightning ({reason}); pass another, or remove it and train from the beginning."
        raise ValueError(msg) from error
    expected = {f"module.{name}": values.shape for name, values in model.module.state_dict().items()}
    if expected != {name: values.shape for name, values in state.items()}:
        msg = f"`ckpt_path` {path} is of a model with other genes, regulators or sizes; build the model with the data and arguments it had."
        raise ValueError(msg)
    before, now = held.get(_KEY, {}).get("data"), _data(model)
    wrong = [name for name, value in (before or {}).items() if now is not None and value != now.get(name)]
    if wrong:
        msg = f"`ckpt_path` {path} is of a training on other data: the {' and '.join(wrong)} differ; pass the data it had, with the cells in the same order."
        raise ValueError(msg)
    if max_epochs is not None and epochs > max_epochs:
        msg = f"`ckpt_path` {path} was written after {epochs} epochs, but `max_epochs` is {max_epochs}; pass the number it had, or more."
        raise ValueError(msg)


def _data(model: Any) -> Mapping[str, str] | None:
    """Return hashes of the data that a model was built with; None if they are not known."""
    record = model.record_
    return record.steps[0].data if record is not None and record.begins else None


def _generators(device: torch.device) -> State:
    states = {"cpu": torch.get_rng_state()}
    return states | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def _set_generators(states: State, device: torch.device) -> None:
    torch.set_rng_state(states["cpu"].cpu())
    if "cuda" in states and device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"].cpu(), device)


def _of_all_processes(states: State) -> list[State]:
    """Return what each process of a training passes, in their order."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return [states]
    found: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(found, states)
    return found
