"""Run Lightning without its tips, and let Ctrl+C reach the caller."""

import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightning.pytorch.callbacks import Checkpoint
from scvi.dataloaders import DataSplitter
from scvi.train import SaveCheckpoint, Trainer, TrainRunner

from scdual.model._checkpoint import RunState
from scdual.model._progress import EpochBar, EpochLines, StopLine, shows_bars

_TALKERS = ("lightning.fabric.utilities.rank_zero", "lightning.pytorch.utilities.rank_zero")
_TIPS = ("💡", "Loading `train_dataloader` to estimate")  # how such lines begin
_MOOT = (  # warnings on which nobody can act who trains by `train`
    (FutureWarning, r"`isinstance\(treespec, LeafSpec\)` is deprecated"),
    (UserWarning, r"Found \d+ module\(s\) in eval mode"),  # the plan switches them to training mode
    # one cell in the last minibatch is enough, for nothing is normalised over cells
    (UserWarning, "Last batch will have a small size"),
    (UserWarning, r"\d+ cells moved from training set to validation set"),
    (UserWarning, r"The number of training batches \(\d+\) is smaller than the logging interval"),
)


class QuietTrainer(Trainer):
    """Trainer of scvi-tools that draws on stderr, gives no tips, survives Ctrl+C, and goes on where it was killed.

    Parameters
    ----------
    enable_progress_bar
        Whether progress is shown: by a bar in a notebook or a terminal, else by one line per tenth.
    simple_progress_bar, progress_bar_refresh_rate
        As in scvi-tools.
    callbacks
        Callbacks of Lightning. Those that write checkpoints need no ``enable_checkpointing``.
    enable_checkpointing
        Whether the best models are saved; not beside checkpoints of Lightning.
    is_announced
        Whether Lightning names the hardware and says why it stops.
    **kwargs
        Further arguments of :class:`~scvi.train.Trainer`.
    """

    was_interrupted = False

    def __init__(
        self,
        *,
        enable_progress_bar: bool = True,
        simple_progress_bar: bool = True,
        progress_bar_refresh_rate: int = 1,
        callbacks: list[Any] | None = None,
        enable_checkpointing: bool = False,
        is_announced: bool = True,
        **kwargs: Any,
    ) -> None:
        self.is_announced, self.run_state = is_announced, RunState()
        keepers = [
            each for each in callbacks or () if isinstance(each, Checkpoint) and not isinstance(each, SaveCheckpoint)
        ]
        callbacks = [each for each in callbacks or () if each not in keepers]
        callbacks.append(StopLine(is_shown=enable_progress_bar))
        if enable_progress_bar and simple_progress_bar:
            enable_progress_bar = shows_bars()
            callbacks.append(EpochBar(progress_bar_refresh_rate) if enable_progress_bar else EpochLines())
        if keepers and kwargs.get("check_val_every_n_epoch") is None:  # else it waits for a validation that never comes
            kwargs |= {"check_val_every_n_epoch": 1, "limit_val_batches": 0}
        with _quiet(is_announced=is_announced):
            if not kwargs.get("early_stopping"):  # scvi-tools says so whether or not it was on
                warnings.filterwarnings("ignore", "early_stopping was automatically disabled", UserWarning)
            super().__init__(
                enable_progress_bar=enable_progress_bar,
                simple_progress_bar=False,
                callbacks=[*callbacks, self.run_state],
                enable_checkpointing=enable_checkpointing and not keepers,
                **kwargs,
            )
        self.callbacks += keepers  # scvi-tools would add one of its own to them, which needs validation cells

    def fit(self, *args: Any, **kwargs: Any) -> None:
        """Fit; on Ctrl+C return, with ``was_interrupted`` set, where Lightning would end Python."""
        with _quiet(is_announced=self.is_announced), _same_answer_to_ctrl_c():
            if kwargs.get("ckpt_path") is not None:
                warnings.filterwarnings("ignore", "Checkpoint directory .* is not empty", UserWarning)
            try:
                super().fit(*args, **kwargs)
            except SystemExit as exit_:
                if not isinstance(exit_.__context__, KeyboardInterrupt):
                    raise
                self.was_interrupted = True
        if not (self.was_interrupted or self.run_state.came_to_its_end):  # the checkpoint was of the last epoch
            args[0].finish()


class QuietTrainRunner(TrainRunner):
    """Runner of scvi-tools with this trainer, which knows the split of the cells also when other processes train."""

    _trainer_cls = QuietTrainer

    def __init__(self, model: Any, training_plan: Any, data_splitter: Any, **kwargs: Any) -> None:
        super().__init__(model, training_plan=training_plan, data_splitter=data_splitter, **kwargs)
        if isinstance(data_splitter, DataSplitter) and data_splitter.external_indexing is None:
            data_splitter.setup()
            data_splitter.external_indexing = [data_splitter.train_idx, data_splitter.val_idx, data_splitter.test_idx]


@contextmanager
def no_moot_warnings() -> Iterator[None]:
    """Drop warnings of others on which nobody can act who trains by ``train``."""
    with warnings.catch_warnings():
        for category, message in _MOOT:
            warnings.filterwarnings("ignore", message, category)
        yield


@contextmanager
def deaf_to_ctrl_c() -> Iterator[None]:
    """Ignore Ctrl+C, for the seconds in which an interrupted training is brought to an end."""
    with _same_answer_to_ctrl_c():
        if _hears_signals():
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        yield


@contextmanager
def _same_answer_to_ctrl_c() -> Iterator[None]:
    """Undo what happens to the handler of Ctrl+C, which Lightning may leave switched off."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if _hears_signals() and handler is not None:
            signal.signal(signal.SIGINT, handler)


def _hears_signals() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextmanager
def _quiet(*, is_announced: bool) -> Iterator[None]:
    """Drop tips, moot warnings and, unless it is announced, all that Lightning says."""

    def is_wanted(record: logging.LogRecord) -> bool:
        return record.levelno > logging.INFO or (is_announced and not record.getMessage().startswith(_TIPS))

    talkers = [logging.getLogger(name) for name in _TALKERS]
    for talker in talkers:
        talker.addFilter(is_wanted)
    try:
        with no_moot_warnings():
            yield
    finally:
        for talker in talkers:
            talker.removeFilter(is_wanted)
