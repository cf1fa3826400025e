"""What a user of scvi-tools expects of training."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scvi
import torch
from anndata import AnnData
from scvi.train import TrainerConfig

from scdual.datasets import simulate
from scdual.model import SCDual

NO_PROGRESS = {"early_stopping": True, "early_stopping_min_delta": 1e9}  # nothing counts as better than the first epoch
ON_TWO_PROCESSES = """
import os

import scvi, torch
from scdual.datasets import simulate
from scdual.model import SCDual

scvi.settings.seed = 0
torch.set_num_threads(1)
adata = simulate(150, 36, n_regulators=6, n_batches=2)
SCDual.setup_anndata(adata, batch_key="batch")
model = SCDual(adata, regulators="regulator")
model.train(1, accelerator="cpu", devices=2, strategy="ddp_find_unused_parameters_true", train_size=0.8)
latent = model.get_latent_representation()
result = torch.distributed.get_rank(), model.is_trained, *latent.shape, float(latent.sum())
os.write(1, ("\\nRESULT " + " ".join(map(str, result)) + "\\n").encode())  # at once: the other process writes, too
"""


def losses(model: SCDual, key: str = "train_loss") -> np.ndarray:
    return model.history[key].to_numpy(dtype=float).ravel()


def same_weights(state: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return set(state) == set(other) and all(torch.equal(state[key], other[key]) for key in state)


def copied(model: SCDual) -> dict[str, torch.Tensor]:
    return {key: tensor.clone() for key, tensor in model.module.state_dict().items()}


def test_training_twice_adds_up_the_history(model: SCDual) -> None:
    model.train(1, check_val_every_n_epoch=1, train_size=0.5)
    assert model.is_trained
    model.train(2, check_val_every_n_epoch=1, train_size=0.5)
    assert {"train_loss", "validation_loss", "elbo_train", "elbo_validation"} <= set(model.history)
    assert {len(values) for values in model.history.values()} == {3}


def test_a_second_training_changes_the_weights(model: SCDual) -> None:
    model.train(1)
    before = copied(model)
    model.train(1)
    assert not same_weights(copied(model), before)


def test_a_model_can_be_printed(trained: SCDual, capsys: pytest.CaptureFixture[str]) -> None:
    print(trained)  # noqa: T201 - the behaviour under test
    printed = capsys.readouterr().out
    assert "SCDual" in printed
    assert "Training status: Trained" in printed


def test_early_stopping_without_validation_cells_is_an_error(model: SCDual) -> None:
    with pytest.raises(ValueError, match="validation"):
        model.train(1, train_size=1.0, early_stopping=True)


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize(("n_obs", "train_size"), [(129, 1.0), (143, 0.9)])
def test_a_last_minibatch_of_one_cell_trains(n_obs: int, train_size: float, drop_last: bool) -> None:
    data = simulate(n_obs, 20, n_regulators=4)
    SCDual.setup_anndata(data)
    model = SCDual(data, regulators="regulator")
    model.train(1, batch_size=128, train_size=train_size, datasplitter_kwargs={"drop_last": drop_last})
    assert np.isfinite(losses(model)).all()
    assert np.isfinite(model.get_latent_representation()).all()


def test_training_stops_when_nothing_improves(model: SCDual) -> None:
    model.train(40, plan_kwargs={"lr": 0.0}, early_stopping=True, early_stopping_patience=2)
    assert len(losses(model)) < 40
    assert model.is_trained


@pytest.mark.parametrize("patience", [1, 3])
def test_patience_and_smallest_improvement_are_honoured(model: SCDual, patience: int) -> None:
    model.train(10, early_stopping_patience=patience, **NO_PROGRESS)
    assert len(losses(model)) == 1 + patience


def test_the_warm_up_of_early_stopping_is_honoured(model: SCDual) -> None:
    model.train(12, early_stopping_patience=1, early_stopping_warmup_epochs=4, **NO_PROGRESS)
    assert len(losses(model)) == 6


def test_another_monitor_can_be_chosen(model: SCDual) -> None:
    model.train(10, early_stopping_patience=1, early_stopping_monitor="reconstruction_loss_validation", **NO_PROGRESS)
    assert len(losses(model)) == 2
    assert model.trainer.early_stopping_callback.monitor == "reconstruction_loss_validation"


def test_early_stopping_of_a_trainer_config_is_honoured(model: SCDual) -> None:
    model.train(10, trainer_config=TrainerConfig(early_stopping_patience=2, **NO_PROGRESS))
    assert len(losses(model)) == 3


def test_equal_seeds_give_equal_weights(adata: AnnData) -> None:
    SCDual.setup_anndata(adata, batch_key="batch")
    states = []
    for seed in (7, 7, 8):
        scvi.settings.seed = seed
        model = SCDual(adata, regulators="regulator")
        model.train(1)
        states.append(copied(model))
    assert same_weights(states[0], states[1])
    assert not same_weights(states[0], states[2])


def test_the_split_of_the_cells_can_be_given(model: SCDual) -> None:
    order = np.random.default_rng(0).permutation(150)
    split = [order[:90], order[90:120], order[120:]]
    model.train(1, datasplitter_kwargs={"external_indexing": split})
    for found, given in zip((model.train_indices, model.validation_indices, model.test_indices), split, strict=True):
        np.testing.assert_array_equal(np.sort(found), np.sort(given))


def test_a_split_without_test_cells_can_be_given(model: SCDual) -> None:
    model.train(1, datasplitter_kwargs={"external_indexing": [np.arange(100), np.arange(100, 150)]})
    np.testing.assert_array_equal(np.sort(model.train_indices), np.arange(100))
    np.testing.assert_array_equal(np.sort(model.validation_indices), np.arange(100, 150))


@pytest.mark.slow
@pytest.mark.parametrize("persistent", [False, True])
def test_minibatches_may_come_from_worker_processes(model: SCDual, persistent: bool) -> None:
    scvi.settings.dl_num_workers = 2
    scvi.settings.dl_persistent_workers = persistent
    model.train(2)
    loader = model.trainer.train_dataloader
    assert (loader.num_workers, loader.persistent_workers) == (2, persistent)
    assert np.isfinite(losses(model)).all()
    with_workers = model.get_latent_representation()
    scvi.settings.dl_persistent_workers, scvi.settings.dl_num_workers = False, 0
    np.testing.assert_array_equal(with_workers, model.get_latent_representation())


def test_metrics_can_be_logged_at_every_step(model: SCDual) -> None:
    model.train(2, plan_kwargs={"on_step": True, "on_epoch": True}, log_every_n_steps=1)
    assert len(model.history["train_loss_step"]) == 4
    assert len(model.history["train_loss_epoch"]) == 2
    assert len(model.history["elbo_train_epoch"]) == 2
    assert len(model.history["validation_loss_epoch"]) == 2


@pytest.mark.slow
def test_two_processes_train_one_model(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(ON_TWO_PROCESSES, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "train.py"],
        cwd=tmp_path,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    results = sorted(line.split()[1:] for line in run.stdout.splitlines() if line.startswith("RESULT"))
    assert [result[:4] for result in results] == [["0", "True", "150", "20"], ["1", "True", "150", "20"]]
    assert float(results[0][4]) == pytest.approx(float(results[1][4]), rel=1e-4)
