"""On how many devices a model trains, and how they share the work."""

import sys
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import torch
from lightning.pytorch.strategies import DDPStrategy, ParallelStrategy

from scdual._checks import shown
from scdual.model._scvi import parse_device_args
from scdual.model._train_arguments import check_hardware


def n_devices(devices: int | Sequence[int] | str) -> int:
    """Return the number of devices that an argument of scvi-tools asks for; ``"auto"`` is one.

    Parameters
    ----------
    devices
        Number of devices, their indices, or either as text; -1 is all CUDA devices.
    """
    if devices == "auto":
        return 1
    if isinstance(devices, str):
        devices = [int(index) for index in devices.split(",") if index] if "," in devices else int(devices)
    if isinstance(devices, int):
        return devices if devices >= 0 else max(1, torch.cuda.device_count())
    return len(devices)


def single_device(accelerator: str, devices: int | list[int] | str, *, learns: str) -> torch.device:
    """Return the device that two arguments of scvi-tools ask for.

    Parameters
    ----------
    accelerator, devices
        Hardware, as in Lightning.
    learns
        What learns on it, for the error.

    Raises
    ------
    ValueError
        If these are several devices.
    """
    if n_devices(devices) > 1:
        msg = f"`devices` is {devices}, but {learns} on one device; pass `devices=1`."
        raise ValueError(msg)
    *_, device = parse_device_args(accelerator, devices, return_device="torch")
    return device


def place_of(accelerator: str, device: int | str) -> torch.device:
    """Return where a model is to lie; a processor is one place whatever its number.

    Parameters
    ----------
    accelerator, device
        Hardware, as in Lightning.

    Raises
    ------
    ValueError
        If this machine lacks the accelerator, or ``device`` is not the number of one device.
    """
    check_hardware(accelerator, "auto")
    is_number = isinstance(device, Integral) and not isinstance(device, bool) and device >= 0
    if not (is_number or (isinstance(device, str) and (device == "auto" or device.isdecimal()))):
        msg = f"`device` is {shown(device)}, expected 'auto' or the number of one device from 0. Leave it out for the first."
        raise ValueError(msg)
    *_, place = parse_device_args(accelerator, "auto", return_device="torch")
    if place.type == "cpu":
        return place
    return parse_device_args(accelerator, device, return_device="torch", validate_single_device=True)[2]


def choose_strategy(strategy: Any, n_processes: int) -> Any:
    """Return the strategy of Lightning with which several devices train; None lets Lightning choose, for one device.

    Each process trains a copy of the whole model with all of its parameters in use at every step, so plain
    ``"ddp"`` does. scvi-tools divides the cells among the processes only if it is told so.

    Parameters
    ----------
    strategy
        Strategy that the user asks for, or None.
    n_processes
        Devices of all machines.

    Raises
    ------
    ValueError
        If the strategy divides the model, or hands results back in a way that loses part of them.
    """
    if strategy is None or strategy == "auto":
        if n_processes == 1:
            return strategy
        return "ddp_notebook" if hasattr(sys, "ps1") else "ddp"  # as Lightning tells a script from a notebook
    is_name = isinstance(strategy, str)
    if is_name and not strategy.startswith(("ddp", "single_device")):
        is_wrong = True
    else:
        is_wrong = isinstance(strategy, ParallelStrategy) and not isinstance(strategy, DDPStrategy)
    if is_wrong or (is_name and "spawn" in strategy):
        name = repr(strategy) if is_name else type(strategy).__name__
        msg = (
            f"`strategy` is {name}, but every device trains a copy of the whole model in a process that a script "
            'starts; pass `strategy="ddp"`.'
        )
        raise ValueError(msg)
    return strategy
