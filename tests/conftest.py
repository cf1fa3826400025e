"""Settings shared by all tests: fixed seed, two threads, no windows, no progress bars, no files left behind."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

os.environ["MPLBACKEND"] = "Agg"  # before matplotlib and tqdm are imported, here and in subprocesses
os.environ["TQDM_DISABLE"] = "1"

import pytest
import scvi
import torch

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
