"""What a training leaves behind that does not come to its end."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from scvi.train import TrainingPlan

from scdual.model._trainer import deaf_to_ctrl_c


@contextmanager
def whole_or_undone(model: Any, callbacks: Sequence[Any] = ()) -> Iterator[None]:
    """Leave a model trained, partly trained after Ctrl+C, or as it was before if anything else ends the block.

    Parameters
    ----------
    model
        The model that the block trains.
    callbacks
        Callbacks of the training; if one has put the best weights into the model, they stay.

    Raises
    ------
    KeyboardInterrupt
        If the training was interrupted; the message says how far it came.
    ValueError
        If it made no step.
    """
    with as_before_if_it_fails(model, callbacks):
        yield
        interrupted = _end_interrupted(model)
        if model.trainer.global_step == 0:
            msg = (
                "Training ended before its first step, expected at least one: `max_time`, a callback or minibatches that are "
                "not there ended it. Allow a step; the model is as it was before."
            )
            raise ValueError(msg)
    model.interrupted_ = interrupted
    if interrupted is not None:
        msg = (
            f"Training was interrupted {how_far(interrupted)}; the model is partly trained, and can be used, saved or "
            "trained further."
        )
        raise KeyboardInterrupt(msg)


def how_far(interrupted: dict[str, int]) -> str:
    """Return how far a training came, in words."""
    words = "after {n_epochs} of {max_epochs} epochs"
    if interrupted["n_epochs"] == 0:
        words += " ({n_steps} steps)"
    return words.format(**interrupted)


@contextmanager
def as_before_if_it_fails(model: Any, callbacks: Sequence[Any] = ()) -> Iterator[None]:
    """Give a model its weights, history and evidence back if the block raises."""
    module, device = model.module, model.device
    weights = {name: values.detach().to("cpu", copy=True) for name, values in module.state_dict().items()}
    attributes, is_training = dict(vars(model)), module.training
    attributes["history_"] = model.history_ and dict(model.history_)  # scvi-tools adds to it in place
    try:
        yield
    except BaseException:
        if any(_has_rescued(callback) for callback in callbacks):
            module.eval()
        else:
            module.load_state_dict(weights)
            module.train(is_training)
            vars(model).clear()
            vars(model).update(attributes)
        module.zero_grad(set_to_none=True)
        model.to_device(device)
        raise


def _has_rescued(callback: Any) -> bool:
    """Return whether this is a ``SaveCheckpoint`` that puts its best weights into the model when a training fails."""
    return bool(getattr(callback, "check_nan_gradients", False) and callback.best_model_path)


def _end_interrupted(model: Any) -> dict[str, int] | None:
    """Make an interrupted model usable and return how far its training came; None if that came to its end."""
    trainer = model.trainer
    if not trainer.was_interrupted:
        return None
    if trainer.global_step == 0:
        msg = "Training was interrupted before its first step, so the model is as it was before."
        raise KeyboardInterrupt(msg)
    with deaf_to_ctrl_c():
        plan = trainer.lightning_module
        TrainingPlan.on_train_end(plan)  # undoes what it has switched on for the whole process
        plan.fit_axes(plan.all_cells())
    return {"n_epochs": trainer.current_epoch, "max_epochs": trainer.max_epochs, "n_steps": trainer.global_step}
