"""Training from the command line is seeded, timed, and says what to do when an accelerator is missing."""

import logging
import time

import pytest
import scvi
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from scdual.cli._training import start, train


class Recorder:
    """Stand in for a model: remember the arguments of `train`."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
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


def test_missing_accelerator_says_what_to_pass() -> None:
    with pytest.raises(ValueError, match=r"accelerator 'gpu' is not possible here: no GPU.*--accelerator cpu"):
        train(Recorder(MisconfigurationException("no GPU.")), accelerator="gpu")


def test_same_seed_gives_the_same_numbers() -> None:
    drawn = []
    for seed in (3, 3, 4):
        start(seed)
        drawn.append(torch.rand(5))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert scvi.settings.seed == 4


def test_lightning_is_quiet() -> None:
    start(0)
    assert logging.getLogger("lightning.pytorch").level == logging.WARNING
