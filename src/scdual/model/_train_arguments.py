"""Check the arguments of training before anything is changed."""

import inspect
import math
import os
from collections.abc import Callable, Mapping
from functools import partial
from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import Any

import lightning.pytorch
import numpy as np
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
_PARTS = ("training", "validation", "test")
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


def _check_batches(name: str, value: Any, *, least: int) -> None:
    """Raise an error unless this is None, a number of minibatches, or a share of them as a float up to 1."""
    is_share = isinstance(value, float) and math.isfinite(value) and value <= 1 and (value > 0 or least == 0)
    if not (value is None or (is_share and value >= 0)):
        if isinstance(value, float):
            msg = f"`{name}` is {value}, expected a whole number of minibatches of at least {least}, or a share of them up to 1.0."
            raise ValueError(msg)
        check_whole(name, value, at_least=least)


def _check_overfit(name: str, value: Any) -> None:
    """Raise an error unless this is 0, for Lightning would draw single cells in place of minibatches."""
    _check_batches(name, value, least=0)
    if value:
        msg = f"`{name}` is {value}, which Lightning cannot do with minibatches of scvi-tools. Pass `limit_train_batches` instead."
        raise ValueError(msg)


def _check_mode(name: str, value: Any) -> None:
    """Raise ``ValueError`` unless this is 'min': all that can be monitored falls as the model learns."""
    check_choice(name, value, choices=("min", "max"))
    if value == "max":
        msg = (
            f"`{name}` is 'max', but all that can be monitored falls as the model learns: losses, and the evidence lower "
            "bound, which scvi-tools logs with its sign turned. Leave it out."
        )
        raise ValueError(msg)


def _check_steps(name: str, value: Any) -> None:
    """Raise an error unless this is -1, for no limit, or a whole number from 1."""
    if value != -1:
        check_whole(name, value, at_least=1)


def _check_whole_or_flag(name: str, value: Any) -> None:
    """Raise an error unless this is True, False or a whole number from 0."""
    if not isinstance(value, bool):
        check_whole(name, value, at_least=0)


TRAINER_CHECKS: dict[str, Callable[[str, Any], None]] = {
    **dict.fromkeys(("early_stopping_monitor", "checkpointing_monitor"), partial(check_choice, choices=_MONITORED)),
    "early_stopping_mode": _check_mode,
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
    **dict.fromkeys(
        (
            "barebones",
            "detect_anomaly",
            "enable_autolog_hparams",
            "inference_mode",
            "learning_rate_monitor",
            "sync_batchnorm",
            "use_distributed_sampler",
        ),
        check_flag,
    ),
    "limit_train_batches": partial(_check_batches, least=1),
    **dict.fromkeys(
        ("limit_predict_batches", "limit_test_batches", "limit_val_batches"),
        partial(_check_batches, least=0),
    ),
    "overfit_batches": _check_overfit,
    "max_steps": _check_steps,
    "num_sanity_val_steps": partial(check_whole, at_least=-1, optional=True),
    **dict.fromkeys(("min_epochs", "min_steps"), partial(check_whole, at_least=0, optional=True)),
    **dict.fromkeys(("accumulate_grad_batches", "num_nodes"), partial(check_whole, at_least=1)),
    "benchmark": partial(check_flag, optional=True),
    "deterministic": partial(check_choice, choices=(True, False, "warn", None)),
    "fast_dev_run": _check_whole_or_flag,
    **dict.fromkeys(
        ("default_root_dir", "model_registry"),
        lambda name, value: check_type(name, value, str, PathLike, optional=True),
    ),
    "callbacks": _check_callbacks,
    "logger": _check_logger,
    "ckpt_path": _check_checkpoint,
}
"""Arguments that the Trainer of scvi-tools has of its own, those on which it breaks off late, and those that Lightning takes
whatever they are; it checks the rest when the Trainer is made."""

SPLITTER_CHECKS: dict[str, Callable[[str, Any], None]] = {
    "num_workers": partial(check_whole, at_least=0),
    "prefetch_factor": partial(check_whole, at_least=1, optional=True),
    **dict.fromkeys(("drop_last", "persistent_workers", "pin_memory"), check_flag),
}
"""Arguments of the data splitter and its loaders, which would be looked at when training has begun."""


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
    _check_there(accelerator, devices)


def _check_there(accelerator: Any, devices: Any) -> None:
    """Raise ``ValueError`` if this machine has fewer devices than are asked for; a processor of several cores has many."""
    if accelerator not in ("auto", "cpu", "cuda", "gpu", "mps") or devices in ("auto", "-1", -1):
        return
    has_gpu = any(AcceleratorRegistry[name]["accelerator"].is_available() for name in ("cuda", "mps"))
    is_cpu = accelerator == "cpu" or (accelerator == "auto" and not has_gpu)
    if is_cpu and (isinstance(devices, list | tuple) or "," in str(devices)):
        msg = f"`devices` is {shown(devices)}, but processors have no numbers. Pass how many processes to start, or leave it out."
        raise ValueError(msg)
    n_here = (os.cpu_count() or 1) if is_cpu else sum(map(_n_there, ("cuda", "mps")))
    wanted = int(devices) if str(devices).strip().isdigit() else 0
    if wanted > n_here:
        what = "processor cores" if is_cpu else "devices of that kind"
        msg = f"`devices` is {shown(devices)}, but this machine has {n_here} {what}. Pass at most {n_here}, or leave it out."
        raise ValueError(msg)


def _n_there(name: str) -> int:
    kind = AcceleratorRegistry[name]["accelerator"]
    return int(kind.auto_device_count()) if kind.is_available() else 0


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


def check_split(
    train_size: Any,
    validation_size: Any,
    datasplitter_kwargs: Any,
    *,
    n_obs: int | None = None,
    own: tuple[str, ...] = ("batch_size", "load_sparse_tensor", "shuffle_set_split", "train_size", "validation_size"),
) -> None:
    """Raise an error unless the shares are above 0 and add up to 1 at most, and the splitter has its arguments.

    Parameters
    ----------
    train_size, validation_size, datasplitter_kwargs
        As in ``train``.
    n_obs
        Number of cells, if that is known.
    own
        Names of the arguments of ``train`` that the splitter has as well.
    """
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
    known = (set(inspect.signature(DataSplitter).parameters) | loader_keywords()) - {"adata_manager", "kwargs", *own}
    given = datasplitter_kwargs or {}
    check_keywords(given, sorted(known), where="`datasplitter_kwargs`", own=own)
    check_arguments(given, SPLITTER_CHECKS)
    if given.get("external_indexing") is not None:
        _check_parts(given["external_indexing"], n_obs)


def _check_parts(parts: Any, n_obs: int | None) -> None:
    """Raise an error unless the cells for training, validation and test are positions, and every cell is in one of them."""
    name = 'datasplitter_kwargs["external_indexing"]'
    check_type(name, parts, list, advice="Pass the positions of the cells for training, validation and test.")
    if not 1 <= len(parts) <= len(_PARTS):
        msg = f"`{name}` has {len(parts)} parts, expected one to three: the positions of the cells for {', '.join(_PARTS)}."
        raise ValueError(msg)
    for part, cells in zip(_PARTS, parts, strict=False):
        if cells is not None and not (
            isinstance(cells, np.ndarray) and cells.ndim == 1 and (cells.dtype.kind in "iu" or not len(cells))
        ):
            msg = f"`{name}` has {shown(cells)} for {part}, expected an array of whole numbers. Pass `np.array([...])`."
            raise TypeError(msg)
    used = np.concatenate([cells for cells in parts if cells is not None] or [np.array([], int)]).astype(int)
    cell, number = np.unique(used, return_counts=True)
    advice = "Put every cell into one part, or set up a part of the data."
    if (number > 1).any():
        msg = f"`{name}` has {np.count_nonzero(number > 1)} cells more than once, such as {cell[number > 1][0]}, expected each in one part. {advice}"
        raise ValueError(msg)
    if parts[0] is None or not len(parts[0]):
        msg = f"`{name}` has no cells for training, expected some. {advice}"
        raise ValueError(msg)
    if n_obs is not None and not (len(cell) == n_obs and cell[0] == 0 and cell[-1] == n_obs - 1):
        msg = f"`{name}` has {len(cell)} cells between {cell[0]} and {cell[-1]}, expected all {n_obs} from 0 to {n_obs - 1}. {advice}"
        raise ValueError(msg)


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


def check_early_stopping(early_stopping: bool, *, validates: bool) -> None:
    """Raise ``ValueError`` if no cells are set aside that could tell when to stop."""
    if early_stopping and not validates:
        msg = (
            "`early_stopping` needs validation cells, but the shares or `limit_val_batches` leave none; pass a smaller "
            "`train_size`, leave out `limit_val_batches`, or pass `early_stopping=False`."
        )
        raise ValueError(msg)
