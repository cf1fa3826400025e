"""A model remembers how it was made."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from anndata import AnnData
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from scvi.train import SaveCheckpoint

from scdual.datasets import simulate
from scdual.model import SCDual
from scdual.model._record import chance_of, generator_state, loss_curves, set_generator_state

SMALL = {"n_embed": 8, "n_hidden": 8, "n_latent": 2, "n_pool": 2, "n_heads": 1}


class Stop(Callback):
    """Raise an exception in the second epoch."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def on_train_epoch_start(self, trainer: Trainer, pl_module: torch.nn.Module) -> None:
        if trainer.current_epoch == 1:
            raise self.error


@pytest.fixture
def adata() -> AnnData:
    return simulate(60, 12, n_regulators=3, n_batches=2)


@pytest.fixture
def model(adata: AnnData) -> SCDual:
    SCDual.setup_anndata(adata, batch_key="batch")
    return SCDual(adata, regulators="regulator", **SMALL)


def test_construction_is_the_first_step(adata: AnnData, model: SCDual) -> None:
    (step,) = model.record_.steps
    assert (step.name, step.seed, step.device, step.lost, step.stopped) == ("SCDual", 0, "cpu", [], None)
    assert step.arguments["regulators"] == model.regulators
    assert step.arguments["n_embed"] == 8
    assert step.arguments["n_layers"] == 1
    assert "prior" not in step.arguments
    assert model.record_.setup["method"] == "setup_anndata"
    assert model.record_.setup["arguments"]["batch_key"] == "batch"


def test_each_training_is_a_step_with_what_was_chosen(model: SCDual, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scdual.model._training.default_max_epochs", lambda n_obs, batch_size: 2)
    model.train()
    scvi.settings.seed = 4
    model.train(1, plan_kwargs={"lr": 1e-4}, log_every_n_steps=1)
    _, first, second = model.record_.steps
    assert (first.arguments["max_epochs"], first.n_epochs, first.seed) == (2, 2, 0)
    assert first.arguments["batch_size"] == 128
    assert (second.n_epochs, second.seed) == (1, 4)
    assert second.arguments["plan_kwargs"] == {"lr": 1e-4}
    assert second.arguments["log_every_n_steps"] == 1


def test_a_logger_of_the_user_does_not_hide_the_epochs(model: SCDual) -> None:
    model.train(2, logger=False)
    assert model.record_.steps[-1].n_epochs == 2


def test_a_call_that_fails_before_it_trains_is_no_step(model: SCDual) -> None:
    with pytest.raises(TypeError):
        model.train(1, plan_kwargs={"nonsense": 1})
    assert len(model.record_.steps) == 1


def test_an_interrupted_training_is_a_step_that_says_so(model: SCDual) -> None:
    with pytest.raises((KeyboardInterrupt, SystemExit)) as caught:
        model.train(3, callbacks=[Stop(KeyboardInterrupt())])
    step = model.record_.steps[-1]
    assert (step.n_epochs, step.stopped) == (1, caught.type.__name__)


def test_a_checkpoint_says_that_its_training_was_not_over(model: SCDual, tmp_path: Path) -> None:
    keep = SaveCheckpoint(dirpath=str(tmp_path), load_best_on_end=True)
    model.train(2, callbacks=[keep], enable_checkpointing=True)
    checkpoint = SCDual.load(keep.best_model_path, adata=False)
    assert [(step.name, step.stopped) for step in checkpoint.record_.steps] == [
        ("SCDual", None),
        ("train", "a checkpoint"),
    ]
    assert [(step.name, step.stopped) for step in model.record_.steps] == [("SCDual", None), ("train", None)]
    assert model.record_.steps[-1].lost == ["callbacks"]


def test_data_decide_about_the_hash(model: SCDual) -> None:
    def hash_of(change: Any) -> dict[str, str]:
        adata = simulate(60, 12, n_regulators=3, n_batches=2)
        change(adata)
        SCDual.setup_anndata(adata, batch_key="batch")
        return SCDual(adata, regulators=list(adata.var_names[:3]), **SMALL).record_.steps[0].data

    def count(adata: AnnData) -> None:
        adata.X.data[0] += 1

    def gene(adata: AnnData) -> None:
        adata.var_names = [*adata.var_names[:-1], "NEW"]

    def batch(adata: AnnData) -> None:
        adata.obs["batch"] = adata.obs["batch"].to_numpy()[::-1]

    def nothing(adata: AnnData) -> None:
        adata.X, adata.obs["new"] = adata.X.toarray(), 1

    expected = model.record_.steps[0].data
    assert hash_of(nothing) == expected
    assert all(hash_of(change)["counts"] != expected["counts"] for change in (count, gene))
    assert hash_of(batch) == expected | {"covariates": hash_of(batch)["covariates"]}
    assert hash_of(batch) != expected


def test_recording_draws_no_random_number(adata: AnnData) -> None:
    SCDual.setup_anndata(adata)
    torch.manual_seed(0)
    before = generator_state()
    model = SCDual(adata, regulators="regulator", **SMALL)
    after = generator_state()
    torch.manual_seed(0)
    model._new_module()
    assert model.record_.steps[0].generator == before
    assert generator_state() == after


def test_the_state_of_the_generator_can_be_set() -> None:
    state, drawn = generator_state(), torch.rand(3)
    set_generator_state(state)
    assert torch.equal(torch.rand(3), drawn)


@pytest.mark.parametrize("seed", [None, 7])
def test_chance_is_as_it_was_afterwards(model: SCDual, seed: int | None) -> None:
    scvi.settings.seed = seed
    before, threads = generator_state(), torch.get_num_threads()
    with chance_of(model.record_.steps[0]):
        assert scvi.settings.seed == 0
        torch.rand(3)
    assert (scvi.settings.seed, generator_state(), torch.get_num_threads()) == (seed, before, threads)


def test_signatures_are_those_of_the_methods() -> None:
    assert list(inspect.signature(SCDual.train).parameters)[:3] == ["self", "max_epochs", "accelerator"]
    assert "n_ensemble" in inspect.signature(SCDual.train_ensemble).parameters


def test_what_annotate_writes_can_be_read(adata: AnnData, model: SCDual) -> None:
    model.train(1, batch_size=32, plan_kwargs={"lr": 1e-3})
    model.annotate()
    found = adata.uns["scdual"]
    assert (found["seed"], found["seed_at_construction"], found["n_epochs"], found["prior"]) == (0, 0, 1, "none")
    assert found["trainings"]["1_train"]["batch_size"] == 32
    assert found["trainings"]["1_train"]["plan_kwargs"] == "{'lr': 0.001}"
    assert {"scdual", "torch", "python"} <= set(found["versions"])
    assert set(found["data"]) == {"counts", "covariates"}
    np.testing.assert_array_equal(found["history"]["train_loss"], model.history["train_loss"].iloc[:, 0].astype(float))
    assert {"validation_loss", "regulation_loss_train", "kl_local_validation"} <= set(found["history"])


def test_loss_curves_have_every_epoch_and_losses_only() -> None:
    history = {
        "train_loss": pd.DataFrame({"train_loss": [3, 2, 1]}, index=pd.Index([0, 1, 2]), dtype=object),
        "validation_loss": pd.DataFrame({"validation_loss": [5.0]}, index=pd.Index([1])),
        "kl_weight": pd.DataFrame({"kl_weight": [0.0, 1.0, 1.0, 1.0]}),
        "train_loss_step": pd.DataFrame({"train_loss_step": [7.0] * 9}),
    }
    found = loss_curves(history)
    assert list(found) == ["train_loss", "validation_loss"]
    np.testing.assert_array_equal(found["train_loss"], [3.0, 2.0, 1.0])
    np.testing.assert_array_equal(found["validation_loss"], [np.nan, 5.0, np.nan])
    assert loss_curves(None) == {}


@pytest.mark.parametrize("method", ["train", "train_ensemble"])
def test_an_argument_that_is_not_there_is_an_error_with_the_name_of_the_method(model: SCDual, method: str) -> None:
    with pytest.raises(TypeError, match=rf"{method}.*'n_members'|{method}` has no argument `n_members`"):
        getattr(model, method)(n_members=3)
