"""Settings shared by all tests: fixed seed, two threads, no windows, no progress bars, no files left behind."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

os.environ["MPLBACKEND"] = "Agg"  # before matplotlib and tqdm are imported, here and in subprocesses
os.environ["TQDM_DISABLE"] = "1"

import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from anndata import AnnData
from mudata import MuData
from scipy import sparse

TOUCHED = (
    "batch_size",
    "dl_num_workers",
    "dl_persistent_workers",
    "logging_dir",
    "progress_bar_style",
    "verbosity",
    "warnings_stacklevel",
)


@pytest.fixture(scope="session", autouse=True)
def _quiet() -> None:
    torch.set_num_threads(2)
    scvi.settings.verbosity = logging.WARNING
    for name in ("lightning", "lightning.fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)


@pytest.fixture(autouse=True)
def _same_start(tmp_path: Path) -> Iterator[None]:
    before = {name: getattr(scvi.settings, name) for name in TOUCHED}
    scvi.settings.seed = 0
    scvi.settings.logging_dir = tmp_path / "scvi_log"
    yield
    for name, value in before.items():
        setattr(scvi.settings, name, value)


@pytest.fixture
def unchanged() -> Callable[..., AbstractContextManager[None]]:
    """Return a context in which an error must leave data, AnnData or MuData, exactly as they were."""
    return _unchanged


@contextmanager
def _unchanged(*data: AnnData | MuData) -> Iterator[None]:
    before = [_content(each) for each in data]
    yield
    for each, content in zip(data, before, strict=True):
        assert _content(each) == content


def _content(data: object) -> object:
    """Return everything that data hold, in a form that can be compared."""
    if isinstance(data, MuData):
        parts = {name: _content(part) for name, part in data.mod.items()}
        return parts | {slot: _content(getattr(data, slot)) for slot in ("obs", "var", "obsm", "varm", "uns")}
    if isinstance(data, AnnData):
        slots = ("X", "obs", "var", "obsm", "varm", "obsp", "varp", "uns", "layers")
        return {slot: _content(getattr(data, slot)) for slot in slots} | {"raw": _content(data.raw and data.raw.X)}
    if isinstance(data, pd.DataFrame):
        return _content(data.index), {key: (str(data[key].dtype), _content(data[key])) for key in data}
    if isinstance(data, pd.Index | pd.Series):
        return list(map(repr, data))
    if isinstance(data, Mapping):
        return {key: _content(value) for key, value in data.items() if key is not None}
    if sparse.issparse(data):
        return type(data).__name__, _content(data.toarray())
    if isinstance(data, np.ndarray) and data.dtype != object:
        return data.shape, str(data.dtype), data.flags.f_contiguous, data.tobytes()
    if hasattr(data, "shape"):
        return list(map(repr, np.ravel(data[:])))
    return repr(data)
