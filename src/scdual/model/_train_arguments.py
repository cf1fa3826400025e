"""Check the arguments of training before anything is changed."""

import inspect
import math
from collections.abc import Callable, Mapping
from functools import partial
from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import Any

import lightning.pytorch
from lightning.pytorch import Callback
from lightning.pytorch.accelerators import Accelerator, AcceleratorRegistry
from lightning.pytorch.loggers import Logger
from scvi.dataloaders import DataSplitter
from scvi.train import Trainer

from scdual._checks import (
    check_choice,
    check_flag,
    check_keywords,
    check_number,
    check_type,
    check_whole,
    listed,
    shown,
)
from scdual._constants import LOSS_KEYS
from scdual.model._cells import loader_keywords
from scdual.model._scvi import KwargsLike, merge_kwargs
from scdual.module import PLAN_CHECKS, check_arguments

DEFAULT_TRAIN_SIZE = 0.9  # of scvi-tools, which may move a few cells more to validation
_ROUNDING = 1e-9  # of shares that add up to 1

_METRICS = tuple(
    f"{name}_{cells}"
    for cells in ("train", "validation")
    for name in ("elbo", "reconstruction_loss", "kl_local", "kl_global", *LOSS_KEYS)
)
_MONITORED = ("validation_loss", "train_loss", *_METRICS)


def _check_callbacks(name: str, value: Any) -> None:
    """Raise ``TypeError`` unless these are None or several callbacks."""
    check_type(name, value, list, tuple, optional=True, advice="Pass a list of callbacks of Lightning.")
    for k, each in enumerate(value or ()):
        check_type(f"{name}[{k}]", each, Callback)


def _check_logger(name: str, value: Any) -> None:
    """Raise ``TypeError`` unless this is a logger, several of them, True, False, or None."""
    for each in value if isinstance(value, list | tuple) else [value]:
        check_type(name, each, Logger, bool, optional=True, advice="Pass a logger of Lightning, or leave it out.")


def _check_checkpoint(name: str, value: Any) -> None:
    """Raise an error unless this is None, a file that is there, an address, or a word that Lightning knows."""
    check_type(name, value, str, PathLike, optional=True)
    is_word = isinstance(value, str) and (
        value in ("best", "hpc", "last") or "://" in value or value.startswith("registry")
    )
    if value is not None and not is_word and not Path(value).is_file():
        what = "which is a folder" if Path(value).is_dir() else "but there is no such file"
        msg = f"`{name}` is {shown(str(value))}, {what}; pass the file of a checkpoint that Lightning wrote."
        raise ValueError(msg)


TRAINER_CHECKS: dict[str, Callable[[str, Any], None]] = {
    **dict.fromkeys(("early_stopping_monitor", "checkpointing_monitor"), partial(check_choice, choices=_MONITORED)),
    "early_stopping_mode": partial(check_choice, choices=("min", "max")),
    "early_stopping_patience": partial(check_whole, at_least=1),
    "early_stopping_warmup_epochs": partial(check_whole, at_least=0),
    "early_stopping_min_delta": check_number,
    "check_val_every_n_epoch": partial(check_whole, at_least=1, optional=True),
    **dict.fromkeys(("log_every_n_steps", "num_nodes"), partial(check_whole, at_least=1)),
    "progress_bar_refresh_rate": partial(check_whole, at_least=0),
    "gradient_clip_val": partial(check_number, at_least=0, optional=True),
    **dict.fromkeys(
        ("enable_checkpointing", "enable_model_summary", "enable_progress_bar", "simple_progress_bar"), check_flag
    ),
    "learning_rate_monitor": check_flag,
    "callbacks": _check_callbacks,
    "logger": _check_logger,
    "ckpt_path": _check_checkpoint,
}
"""Arguments that the Trainer of scvi-tools has of its own, and those on which it breaks off late; Lightning checks the rest when the Trainer is made."""


def check_hardware(accelerator: Any, devices: Any) -> None:
    """Raise an error unless this machine has the accelerator, and ``devices`` name one or more of its devices."""
    if not isinstance(accelerator, Accelerator):
        known = {
            name: AcceleratorRegistry[name]["accelerator"] for name in AcceleratorRegistry.available_accelerators()
        }
        check_choice("accelerator", accelerator, ("auto", "gpu", *sorted(known)))
        wanted = {"auto": ("cpu",), "gpu": ("cuda", "mps")}.get(accelerator, (accelerator,))
        if not any(known[name].is_available() for name in wanted if name in known):
            here = sorted(name for name, kind in known.items() if kind.is_available())
            msg = f"`accelerator` is {accelerator!r}, but this machine has only {listed(here)}. Pass one of these or 'auto'."
            raise ValueError(msg)
    several = devices if isinstance(devices, list | tuple) else [devices]
    are_whole = all(isinstance(device, Integral) and not isinstance(device, bool) for device in several)
    is_list = several is devices and are_whole and len(several) > 0 and min(several) >= 0
    is_count = several is not devices and are_whole and (devices > 0 or devices == -1)
    is_text = isinstance(devices, str) and (
        devices in ("auto", "-1") or devices.replace(",", "").replace(" ", "").isdigit()
    )
    if not (is_count or is_text or is_list):
        msg = f"`devices` is {shown(devices)}, expected 'auto', a number of devices from 1, -1 for all, or a list of them."
        raise ValueError(msg)


def check_lengths(max_epochs: Any, batch_size: Any) -> None:
    """Raise an error unless both are whole numbers from 1; ``max_epochs`` may be None."""
    check_whole("max_epochs", max_epochs, at_least=1, optional=True)
    check_whole("batch_size", batch_size, at_least=1)


def check_plan(plan_config: KwargsLike | None, plan_kwargs: KwargsLike | None) -> None:
    """Raise an error if an argument of the training plan is unknown or wrong."""
    plan = _merged("plan", plan_config, plan_kwargs)
    check_keywords(plan, PLAN_CHECKS, where="`plan_kwargs`")
    check_arguments(plan, PLAN_CHECKS)


def check_trainer(trainer_config: KwargsLike | None, trainer_kwargs: Mapping[str, Any], *, own: list[str]) -> None:
    """Raise an error if an argument of the Trainer is unknown, or one of those of scvi-tools is wrong.

    Parameters
    ----------
    trainer_config, trainer_kwargs
        As in ``train``.
    own
        Names of the arguments of ``train`` itself, one of which may have been meant.
    """
    trainer = _merged("trainer", trainer_config, trainer_kwargs)
    kinds = (Trainer, lightning.pytorch.Trainer)
    known = {name for kind in kinds for name in inspect.signature(kind).parameters} | set(own) | {"ckpt_path"}
    check_keywords(trainer, sorted(known - {"kwargs", "self"}), where="`train`", own=own)
    check_arguments(trainer, TRAINER_CHECKS)


def check_split(train_size: Any, validation_size: Any, datasplitter_kwargs: Any) -> None:
    """Raise an error unless the shares are above 0 and add up to 1 at most, and the splitter has its arguments."""
    check_number("train_size", train_size, above=0, at_most=1, optional=True)
    check_number("validation_size", validation_size, at_least=0, below=1, optional=True)
    trained = DEFAULT_TRAIN_SIZE if train_size is None else train_size
    if validation_size is not None and trained + validation_size > 1 + _ROUNDING:
        default = ", its default," if train_size is None else ""
        msg = (
            f"`train_size` is {trained}{default} and `validation_size` {validation_size}, expected shares that add up to "
            "1 at most. Pass both."
        )
        raise ValueError(msg)
    check_type("datasplitter_kwargs", datasplitter_kwargs, Mapping, optional=True)
    known = (set(inspect.signature(DataSplitter).parameters) | loader_keywords()) - {"adata_manager", "kwargs"}
    check_keywords(datasplitter_kwargs or (), sorted(known), where="`datasplitter_kwargs`")


def n_validation(n_obs: int, train_size: float | None, validation_size: float | None) -> int:
    """Return how many cells scvi-tools sets aside for validation, before it moves a few more there."""
    if validation_size is not None:
        return math.floor(n_obs * validation_size)
    return n_obs - math.ceil((DEFAULT_TRAIN_SIZE if train_size is None else train_size) * n_obs)


def _merged(name: str, config: Any, overrides: Any) -> dict[str, Any]:
    for argument, value in {f"{name}_config": config, f"{name}_kwargs": overrides}.items():
        if not hasattr(value, "to_kwargs"):
            check_type(argument, value, Mapping, optional=True)
    return merge_kwargs(config, overrides, name=name)
