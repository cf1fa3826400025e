"""How far a training is: a bar where somebody watches, else one line per tenth; both on stderr."""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any, TypeVar

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from scvi.utils import track

from scdual.model._scvi import ProgressBar

_logger = logging.getLogger(__name__)
_LOSSES = ("train_loss", "validation_loss")

T = TypeVar("T")


def shows_bars() -> bool:
    """Return whether a progress bar is seen as one: in a notebook or a terminal, not in a file."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    is_notebook = shell is not None and "IPKernelApp" in shell.config
    return is_notebook or (sys.stderr is not None and sys.stderr.isatty())


def is_tenth(n_done: int, n_total: int) -> bool:
    """Return whether another tenth of the whole has been reached with this piece."""
    return 10 * n_done // n_total > 10 * (n_done - 1) // n_total


def say(line: str) -> None:
    """Log a line; where nobody has set logging up it goes to stderr."""
    if _logger.hasHandlers():
        _logger.info(line)
    elif sys.stderr is not None:
        sys.stderr.write(f"{line}\n")


def tracked(items: Sequence[T], what: str, *, is_shown: bool = True) -> Iterator[T]:
    """Yield the items and show how far they are.

    Parameters
    ----------
    items
        Pieces of work.
    what
        Name of the work.
    is_shown
        Whether anything is shown.
    """
    if is_shown and shows_bars():
        with redirect_stdout(sys.stderr):  # scvi-tools draws on stdout
            bar = track(items, description=what, style="tqdm")
        yield from bar
        return
    for n_done, item in enumerate(items, start=1):
        yield item
        if is_shown and is_tenth(n_done, len(items)):
            say(f"{what}: {n_done} of {len(items)}")


@contextmanager
def drawn_on_stderr(silent: bool) -> Iterator[bool]:
    """Let scvi-tools draw its bars on stderr; yield whether it shall be silent, as it is where nobody sees a bar."""
    with redirect_stdout(sys.stderr):
        yield silent or not shows_bars()


class EpochBar(ProgressBar):
    """The progress bar of scvi-tools, on stderr."""

    def init_train_tqdm(self, trainer: Trainer) -> Any:
        """Return the bar."""
        with redirect_stdout(sys.stderr):
            return super().init_train_tqdm(trainer)


class EpochLines(Callback):
    """One line with the losses per tenth of the epochs."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say how far the training is, if another tenth is done."""
        n_done, n_total = trainer.current_epoch + 1, trainer.max_epochs or 0
        if trainer.is_global_zero and n_total > 0 and is_tenth(n_done, n_total):
            known = trainer.callback_metrics
            losses = "".join(f", {name} {float(known[name]):.5g}" for name in _LOSSES if name in known)
            say(f"Epoch {n_done} of {n_total}{losses}")


class StopLine(Callback):
    """One line when a training stops early, in place of the words that scvi-tools prints on stdout.

    Parameters
    ----------
    is_shown
        Whether anything is shown.
    """

    def __init__(self, *, is_shown: bool) -> None:
        self.is_shown = is_shown

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say that the training has stopped, and why."""
        stopping: Any = trainer.early_stopping_callback
        if getattr(stopping, "early_stopping_reason", None) is None:
            return
        stopping.early_stopping_reason = None
        if self.is_shown and trainer.is_global_zero:
            say(f"Stopped: {stopping.monitor} has not improved in {stopping.patience} checks.")
