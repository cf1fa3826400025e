"""Train a model from the command line: fixed seed, only messages for the user, seconds counted."""

import logging
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from scdual.cli._terminal import visible

if TYPE_CHECKING:
    from scdual.model import SCDual


def start(seed: int) -> None:
    """Fix the seed, and drop messages that only a programmer can act on."""
    import scvi

    for name in ("lightning.fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for category in (DeprecationWarning, FutureWarning, PendingDeprecationWarning):
        warnings.simplefilter("ignore", category)
    warnings.filterwarnings("ignore", module=r"lightning\.")
    scvi.settings.seed = seed


def train(
    model: "SCDual",
    *,
    map_only: bool = False,
    max_epochs: int | None = None,
    accelerator: str = "auto",
    checkpoint: Path | None = None,
) -> float:
    """Train and return the seconds it took.

    Parameters
    ----------
    model
        The model.
    map_only
        Whether to learn the map alone.
    max_epochs, accelerator
        Those of :meth:`~scdual.model.SCDual.train`.
    checkpoint
        File that keeps the state after each epoch; if it is there, the training goes on from it.

    Raises
    ------
    ValueError
        If this machine does not have the accelerator.
    KeyboardInterrupt
        After Ctrl+C; it says how far the training got.
    """
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    begin = time.perf_counter()
    try:
        if map_only:
            model.train_map(accelerator)
        else:
            model.train(max_epochs=max_epochs, accelerator=accelerator, **_kept(checkpoint))
    except MisconfigurationException as error:
        msg = f"Training on accelerator {accelerator!r} is not possible here: {error} Pass --accelerator cpu or auto."
        raise ValueError(msg) from error
    except KeyboardInterrupt:
        far = getattr(model, "interrupted_", None)
        when = "before its first step" if far is None else f"after {far['n_epochs']} of {far['max_epochs']} epochs"
        msg = f"training stopped {when}"
        raise KeyboardInterrupt(msg) from None
    return time.perf_counter() - begin


def _kept(checkpoint: Path | None) -> dict[str, Any]:
    """Return the arguments by which a training keeps its state in a file, and goes on from it."""
    if checkpoint is None:
        return {}
    from lightning.pytorch.callbacks import ModelCheckpoint

    keep = ModelCheckpoint(checkpoint.parent, filename=checkpoint.stem, enable_version_counter=False)
    if not checkpoint.exists():
        return {"callbacks": [keep]}
    typer.echo(visible(f"Going on from {checkpoint}"), err=True)
    return {"callbacks": [keep], "ckpt_path": checkpoint}
