"""Settings shared by all tests: fixed seed, one thread, no windows, no progress bars, no files left behind."""

import gc
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

os.environ["MPLBACKEND"] = "Agg"  # before matplotlib and tqdm are imported, here and in subprocesses
os.environ["TQDM_DISABLE"] = "1"
# One thread, because tensors of this size are not worth more and a process of `make test` runs on each processor.
# numba sets that of torch anew, to its own number.
os.environ["NUMBA_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from anndata import AnnData
from mudata import MuData
from scipy.sparse import issparse

TOUCHED = (
    "batch_size",
    "dl_num_workers",
    "dl_persistent_workers",
    "logging_dir",
    "progress_bar_style",
    "verbosity",
    "warnings_stacklevel",
)


def pytest_collection_finish() -> None:
    """Leave what is imported by now out of every later search for garbage, which else takes a second each."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _quiet() -> None:
    scvi.settings.verbosity = logging.WARNING
    for name in ("lightning", "lightning.fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)


@pytest.fixture(autouse=True)
def _same_start(tmp_path: Path) -> Iterator[None]:
    before = {name: getattr(scvi.settings, name) for name in TOUCHED}
    flags = os.environ.get("XLA_FLAGS", "")
    scvi.settings.seed = 0
    torch.set_num_threads(1)  # also where torch was imported before this file
    scvi.settings.logging_dir = tmp_path / "scvi_log"
    yield
    os.environ["XLA_FLAGS"] = flags  # every seed makes it longer; after 4,000 no process can be started
    for name, value in before.items():
        setattr(scvi.settings, name, value)


@pytest.fixture(scope="session")
def contents() -> Callable[[Any], Any]:
    """Return a function that tells all that data, tables, arrays and dictionaries hold, as plain values to compare."""
    return _contents


@pytest.fixture
def unchanged() -> Callable[..., AbstractContextManager[None]]:
    """Return a context in which an error must leave data, AnnData or MuData, exactly as they were."""
    return _unchanged


@contextmanager
def _unchanged(*data: AnnData | MuData) -> Iterator[None]:
    before = [_contents(each) for each in data]
    yield
    for each, content in zip(data, before, strict=True):
        assert _contents(each) == content


def _contents(value: Any) -> Any:
    if isinstance(value, MuData):
        return {**{name: _contents(part) for name, part in value.mod.items()}, **_slots(value)}
    if isinstance(value, AnnData):
        raw = None if value.raw is None else value.raw.X
        return {"X": _contents(value.X), "layers": _contents(value.layers), "raw": _contents(raw), **_slots(value)}
    if isinstance(value, Mapping):
        return {str(key): _contents(item) for key, item in value.items()}
    if isinstance(value, pd.DataFrame):
        return _contents(value.index), {name: (str(value[name].dtype), _contents(value[name])) for name in value}
    if isinstance(value, pd.Index | pd.Series):
        return list(map(repr, value))
    return _array_contents(value)


def _array_contents(value: Any) -> Any:
    if issparse(value):
        return type(value).__name__, _contents(value.toarray())
    if isinstance(value, torch.Tensor):
        return _contents(value.detach().cpu().numpy())
    if isinstance(value, np.ndarray) and value.dtype != object:
        return str(value.dtype), value.shape, value.flags.f_contiguous, value.tobytes()
    if isinstance(value, list | tuple | np.ndarray):
        return [_contents(item) for item in value]
    if hasattr(value, "shape"):  # on disk, or dask
        return list(map(repr, np.ravel(value[:])))
    return type(value).__name__, repr(value)


def _slots(data: AnnData | MuData) -> dict[str, Any]:
    return {slot: _contents(getattr(data, slot)) for slot in ("obs", "var", "obsm", "varm", "obsp", "varp", "uns")}
