"""Train a model from the command line: fixed seed, few messages, seconds counted."""

import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scdual.model import SCDual


def start(seed: int) -> None:
    """Fix the seed and keep Lightning from describing the hardware."""
    import scvi

    for name in ("lightning.fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)
    scvi.settings.seed = seed


def train(model: "SCDual", *, max_epochs: int | None = None, accelerator: str = "auto") -> float:
    """Train and return the seconds it took.

    Raises
    ------
    ValueError
        If this machine does not have the accelerator.
    """
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    begin = time.perf_counter()
    try:
        model.train(max_epochs=max_epochs, accelerator=accelerator)
    except MisconfigurationException as error:
        msg = f"Training on accelerator {accelerator!r} is not possible here: {error} Pass --accelerator cpu or auto."
        raise ValueError(msg) from error
    return time.perf_counter() - begin
