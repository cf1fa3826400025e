"""A training that is stopped leaves a partly trained model; one that fails leaves the model as it was."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from anndata import AnnData
from lightning.pytorch.callbacks import Callback
from scvi.train import SaveCheckpoint

from scdual.model import SCDual
from scdual.module import RegulationMap


class At(Callback):
    """Do something before a step."""

    def __init__(self, step: int, do: object) -> None:
        self.step, self.do = step, do

    def on_train_batch_start(self, trainer: object, *args: object) -> None:
        if trainer.global_step == self.step:
            self.do()


def ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def fail() -> None:
    msg = "The disk is gone."
    raise OSError(msg)


def weights_of(model: SCDual) -> dict[str, torch.Tensor]:
    return {name: values.clone() for name, values in model.module.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(autouse=True)
def _in_the_foreground() -> Iterator[None]:
    """Let Ctrl+C raise an error, as Python does unless a shell starts it in the background."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, handler)


@pytest.fixture
def model(adata: AnnData) -> SCDual:
    SCDual.setup_anndata(adata, batch_key="batch")
    return SCDual(adata, regulators="regulator")


def test_a_training_without_a_step_is_an_error_and_leaves_the_model(model: SCDual) -> None:
    before = weights_of(model)
    with pytest.raises(ValueError, match="ended before its first step, expected at least one: `max_time`"):
        model.train(1, batch_size=64, max_time={"seconds": 0})
    assert same(weights_of(model), before)
    assert not model.is_trained
    assert [step.name for step in model.record_.steps] == ["SCDual"]


@pytest.fixture
def finished(model: SCDual) -> SCDual:
    model.train(1)
    model.train_ensemble(2)
    return model


def test_ctrl_c_reaches_the_caller_with_the_number_of_epochs(model: SCDual) -> None:
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="interrupted after 2 of 5 epochs; the model is partly trained"):
        model.train(5, callbacks=[At(5, ctrl_c)])  # two steps per epoch
    assert signal.getsignal(signal.SIGINT) is handler
    assert model.interrupted_ == {"n_epochs": 2, "max_epochs": 5, "n_steps": 5}


def test_an_interrupted_model_can_be_used_and_says_what_it_is(
    model: SCDual, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        model.train(5, callbacks=[At(5, ctrl_c)])
    assert model.is_trained
    assert not model.module.training
    assert len(model.history["train_loss"]) == len(model.history["validation_loss"]) == 2
    assert len(model.train_indices) + len(model.validation_indices) == 150
    repr(model)
    assert "Training status: Partly trained, interrupted after 2 of 5 epochs" in capsys.readouterr().out
    assert not torch.equal(model.module.cell_state.axes, torch.eye(model.module.n_latent))
    latent = model.get_latent_representation()
    assert np.isfinite(latent).all()
    covariance = np.cov(latent.T)
    scale = np.sqrt(np.outer(covariance.diagonal(), covariance.diagonal()))
    assert np.abs(covariance - np.diag(covariance.diagonal())).max() / scale.max() < 1e-3  # fitted to these weights
    assert model.get_regulation().weight.any()


def test_it_is_partly_trained_within_the_first_epoch_too(model: SCDual) -> None:
    with pytest.raises(KeyboardInterrupt, match=r"after 0 of 5 epochs \(1 steps\)"):
        model.train(5, callbacks=[At(1, ctrl_c)])
    assert model.is_trained
    assert model.history == {}


def test_it_remembers_when_it_is_saved_until_a_training_comes_to_its_end(
    model: SCDual, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        model.train(5, callbacks=[At(3, ctrl_c)])
    model.save(tmp_path / "model")
    loaded = SCDual.load(tmp_path / "model", model.adata)
    assert loaded.interrupted_ == model.interrupted_ == {"n_epochs": 1, "max_epochs": 5, "n_steps": 3}
    np.testing.assert_array_equal(loaded.get_latent_representation(), model.get_latent_representation())
    loaded.train(2)
    assert loaded.interrupted_ is None
    assert len(loaded.history["train_loss"]) == 3
    repr(loaded)
    assert "Training status: Trained" in capsys.readouterr().out


def test_interrupting_further_training_throws_the_evidence_away_and_goes_on_with_the_history(finished: SCDual) -> None:
    with pytest.raises(KeyboardInterrupt):
        finished.train(5, callbacks=[At(3, ctrl_c)])
    assert len(finished.history["train_loss"]) == 2
    assert finished.ensemble_ == []  # of another map


def test_interrupted_before_the_first_step_it_is_not_trained(
    model: SCDual, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before, handler = weights_of(model), signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(
        type(model.module.map.values.mixture), "fit", lambda *args, **kwargs: ctrl_c()
    )  # in the warm start
    with pytest.raises(KeyboardInterrupt, match="before its first step, so the model is as it was before"):
        model.train(5)
    assert signal.getsignal(signal.SIGINT) is handler  # Lightning leaves it switched off here
    assert not model.is_trained
    assert model.history is None
    assert not model.module.is_scaled
    assert same(weights_of(model), before)
    with pytest.raises(RuntimeError, match="train"):
        model.get_latent_representation()
    repr(model)
    assert "Training status: Not Trained" in capsys.readouterr().out
    monkeypatch.undo()
    model.train(1)
    assert model.is_trained


def test_a_failure_leaves_a_new_model_as_it_was(model: SCDual) -> None:
    before = weights_of(model)
    with pytest.raises(OSError, match="disk"):
        model.train(5, callbacks=[At(3, fail)])
    assert same(weights_of(model), before)
    assert not model.is_trained
    assert model.history is None
    assert model.train_indices is None
    assert all(parameter.grad is None for parameter in model.module.parameters())
    model.train(1)
    assert len(model.history["train_loss"]) == 1


def test_a_failure_of_further_training_leaves_weights_history_and_evidence(finished: SCDual) -> None:
    before, latent = weights_of(finished), finished.get_latent_representation()
    losses, trainer = finished.history["train_loss"].copy(), finished.trainer
    evidence = finished.get_regulation().evidence
    with pytest.raises(OSError, match="disk"):
        finished.train(5, callbacks=[At(3, fail)])
    assert same(weights_of(finished), before)
    assert finished.is_trained
    assert not finished.module.training
    assert finished.trainer is trainer
    assert finished.history["train_loss"].equals(losses)
    np.testing.assert_array_equal(finished.get_latent_representation(), latent)
    np.testing.assert_array_equal(finished.get_regulation().evidence.sd, evidence.sd)


def test_weights_that_a_checkpoint_has_rescued_stay(finished: SCDual, tmp_path: Path) -> None:
    keep = SaveCheckpoint(dirpath=str(tmp_path), monitor="validation_loss", check_nan_gradients=True)
    before = weights_of(finished)
    with pytest.raises(OSError, match="disk"):
        finished.train(5, callbacks=[At(3, fail), keep], enable_checkpointing=True)
    assert not same(weights_of(finished), before)
    best = SCDual.load(keep.best_model_path, finished.adata)
    assert same(weights_of(finished), weights_of(best))
    assert not finished.module.training


def test_an_interrupted_ensemble_leaves_the_earlier_one(finished: SCDual, monkeypatch: pytest.MonkeyPatch) -> None:
    before, members = weights_of(finished), list(finished.ensemble_)
    steps, learn = iter(range(100)), RegulationMap.learn

    def learn_or_stop(self: RegulationMap, *args: object) -> object:
        if next(steps) == 3:
            ctrl_c()
        return learn(self, *args)

    monkeypatch.setattr(RegulationMap, "learn", learn_or_stop)
    with pytest.raises(KeyboardInterrupt, match="interrupted after 3 of 5 members; the model is as it was"):
        finished.train_ensemble(4)
    assert all(one is other for one, other in zip(finished.ensemble_, members, strict=True))
    assert same(weights_of(finished), before)


def test_training_in_another_thread_keeps_the_hands_off_signals(model: SCDual) -> None:
    handler = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=model.train, args=(1,))
    thread.start()
    thread.join()
    assert model.is_trained
    assert signal.getsignal(signal.SIGINT) is handler
