"""The private names of scvi-tools that SCDual uses, all in this file.

scvi-tools promises nothing about them, so ``tests/model/test_scvi.py`` holds what is expected of each in every version
that is supported.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from scvi.data._constants import (
    _FIELD_REGISTRIES_KEY,
    _SCVI_UUID_KEY,
    _SETUP_ARGS_KEY,
    _SETUP_METHOD_NAME,
    _STATE_REGISTRY_KEY,
)
from scvi.model._utils import _get_batch_code_from_category, parse_device_args, scrna_raw_counts_properties
from scvi.model.base._base_model import BaseModelMetaClass
from scvi.model.base._de_core import _de_core
from scvi.model.base._save_load import _load_saved_files
from scvi.train import _callbacks
from scvi.train._config import KwargsLike, merge_kwargs
from scvi.train._progress import ProgressBar

__all__ = [
    "FIELD_REGISTRIES_KEY",
    "SETUP_ARGS_KEY",
    "SETUP_METHOD_KEY",
    "STATE_REGISTRY_KEY",
    "UUID_KEY",
    "BaseModelMetaClass",
    "KwargsLike",
    "N_CHECKS",
    "ProgressBar",
    "batch_codes",
    "checkpoints_read_by",
    "compare_groups",
    "merge_kwargs",
    "name_genes",
    "parse_device_args",
    "raw_count_properties",
    "read_pickled",
]

FIELD_REGISTRIES_KEY, STATE_REGISTRY_KEY = _FIELD_REGISTRIES_KEY, _STATE_REGISTRY_KEY
SETUP_ARGS_KEY, SETUP_METHOD_KEY = _SETUP_ARGS_KEY, _SETUP_METHOD_NAME
UUID_KEY = _SCVI_UUID_KEY

N_CHECKS = "_current_step"  # of early stopping: how often it has looked, which its state does not hold

batch_codes = _get_batch_code_from_category
compare_groups = _de_core
raw_count_properties = scrna_raw_counts_properties
read_pickled = _load_saved_files


@contextmanager
def checkpoints_read_by(read: Callable[..., Any]) -> Iterator[None]:
    """Let ``SaveCheckpoint`` read folders with a function, whose first argument is the function it would use."""
    original = _callbacks._load_saved_files
    _callbacks._load_saved_files = partial(read, original)
    try:
        yield
    finally:
        _callbacks._load_saved_files = original


def name_genes(datamodule: Any, names: list[str]) -> None:
    """Name the genes of an annbatch datamodule, which scvi-tools takes from the first file, in whose order they need not be."""
    datamodule._var_names = names
