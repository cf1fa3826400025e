"""Training from the command line is seeded, timed, and says what to do when an accelerator is missing."""

import logging
import time
import warnings
from pathlib import Path

import pytest
import scvi
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from scdual.cli._training import start, train


class Recorder:
    """Stand in for a model: remember the arguments of `train`."""

    def __init__(self, error: BaseException | None = None, interrupted: dict[str, int] | None = None) -> None:
        self.error = error
        self.interrupted_ = interrupted
        self.arguments: dict[str, object] = {}

    def train(self, **arguments: object) -> None:
        self.arguments = arguments
        if self.error is not None:
            raise self.error
        time.sleep(0.01)


def test_arguments_reach_the_model_and_seconds_come_back() -> None:
    model = Recorder()
    seconds = train(model, max_epochs=3, accelerator="cpu")
    assert model.arguments == {"max_epochs": 3, "accelerator": "cpu"}
    assert 0.01 <= seconds < 5


def test_a_checkpoint_is_kept_and_gone_on_from(tmp_path: Path) -> None:
    model, checkpoint = Recorder(), tmp_path / "seed_0.ckpt"
    train(model, checkpoint=checkpoint)
    assert "ckpt_path" not in model.arguments
    (keep,) = model.arguments["callbacks"]
    assert Path(keep.dirpath) == tmp_path
    checkpoint.touch()
    train(model, checkpoint=checkpoint)
    assert model.arguments["ckpt_path"] == checkpoint


def test_missing_accelerator_says_what_to_pass() -> None:
    with pytest.raises(ValueError, match=r"accelerator 'gpu' is not possible here: no GPU.*--accelerator cpu"):
        train(Recorder(MisconfigurationException("no GPU.")), accelerator="gpu")


@pytest.mark.parametrize(
    ("interrupted", "when"),
    [({"n_epochs": 3, "max_epochs": 20}, "after 3 of 20 epochs"), (None, "before its first step")],
)
def test_interruption_says_how_far_the_training_got(interrupted: dict[str, int] | None, when: str) -> None:
    with pytest.raises(KeyboardInterrupt, match=f"^training stopped {when}$"):
        train(Recorder(KeyboardInterrupt("the model can be used"), interrupted))


def test_same_seed_gives_the_same_numbers() -> None:
    drawn = []
    for seed in (3, 3, 4):
        start(seed)
        drawn.append(torch.rand(5))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert scvi.settings.seed == 4


def test_lightning_does_not_describe_the_hardware() -> None:
    start(0)
    assert logging.getLogger("lightning.pytorch").level == logging.WARNING


def test_messages_for_programmers_are_dropped() -> None:
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        start(0)
        warnings.warn("too few regulators", UserWarning, stacklevel=1)
        warnings.warn("old name", FutureWarning, stacklevel=1)
        warnings.warn_explicit("slow loader", UserWarning, "fit_loop.py", 1, module="lightning.pytorch.loops.fit_loop")
    assert [str(warning.message) for warning in given] == ["too few regulators"]
