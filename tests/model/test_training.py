import math
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from anndata import AnnData
from lightning.pytorch.callbacks import Callback, EarlyStopping, LearningRateMonitor, ModelCheckpoint
from scvi.train import TrainerConfig

from scdual.datasets import simulate
from scdual.model import SCDual
from scdual.model._training import default_max_epochs

PARTS = ("loss", "elbo", "reconstruction_loss", "kl_local", "regulation_loss", "edge_sparsity")


@pytest.fixture
def model(adata: AnnData) -> SCDual:
    SCDual.setup_anndata(adata)
    return SCDual(adata, regulators="regulator")


class Spy(Callback):
    """Remember what a training looked like from inside."""

    def __init__(self) -> None:
        self.is_training: list[bool] = []
        self.learning_rates: list[float] = []

    def on_train_batch_start(self, trainer: object, pl_module: object, *args: object) -> None:
        self.is_training.append(all(part.training for part in pl_module.module.modules()))

    def on_train_batch_end(self, trainer: object, *args: object) -> None:
        self.learning_rates.append(trainer.optimizers[0].param_groups[0]["lr"])


def column(part: str, split: str) -> str:
    return f"{split}_loss" if part == "loss" else f"{part}_{split}"


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("part", PARTS)
def test_history_has_every_part_of_the_loss(trained: SCDual, part: str, split: str) -> None:
    values = trained.history[column(part, split)]
    assert len(values) == 2
    assert np.isfinite(values.to_numpy(dtype=float)).all()


def test_the_disagreement_with_a_prior_has_a_column(adata: AnnData) -> None:
    SCDual.setup_anndata(adata)
    prior = pd.DataFrame({"source": ["REG01"], "target": ["GENE001"], "weight": [1.0]})
    model = SCDual(adata, regulators="regulator", prior=prior)
    model.train(1)
    assert {"prior_disagreement_train", "prior_disagreement_validation"} <= set(model.history)


def test_a_second_training_goes_on_with_dropout_and_appends_to_the_history(model: SCDual) -> None:
    first, second = Spy(), Spy()
    model.train(2, callbacks=[first])
    assert not model.module.training
    weights = [weight.clone() for weight in model.module.parameters()]
    model.train(1, callbacks=[second])
    assert first.is_training == [True] * 4
    assert second.is_training == [True] * 2
    assert not model.module.training
    assert any(not torch.equal(before, after) for before, after in zip(weights, model.module.parameters(), strict=True))
    for part in PARTS:
        assert list(model.history[column(part, "train")].index) == [0, 1, 2]
        assert len(model.history[column(part, "validation")]) == 3


def test_training_lowers_the_loss(adata: AnnData) -> None:
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator")
    model.train(8, batch_size=32)
    for split in ("train", "validation"):
        loss = model.history[f"{split}_loss"].to_numpy(dtype=float)
        assert loss[-1] < loss[0]


def test_gradients_are_clipped_unless_told_otherwise(model: SCDual) -> None:
    model.train(1)
    assert model.trainer.gradient_clip_val == 100.0
    model.train(1, gradient_clip_val=0.5)
    assert model.trainer.gradient_clip_val == 0.5
    model.train(1, trainer_config={"gradient_clip_val": 0.25})
    assert model.trainer.gradient_clip_val == 0.25


def test_the_learning_rate_rises_then_falls_to_zero(model: SCDual) -> None:
    spy = Spy()
    model.train(10, callbacks=[spy], plan_kwargs={"lr": 0.01, "n_steps_warmup": 4})
    peak = int(np.argmax(spy.learning_rates))
    assert max(spy.learning_rates) == pytest.approx(0.01, rel=0.05)
    assert (np.diff(spy.learning_rates[: peak + 1]) >= 0).all()
    assert (np.diff(spy.learning_rates[peak:]) <= 0).all()
    assert spy.learning_rates[-1] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"early_stopping": True, "early_stopping_patience": 2},
        {"trainer_config": {"early_stopping": True, "early_stopping_patience": 2}},
        {"trainer_config": TrainerConfig(early_stopping=True, early_stopping_patience=2)},
    ],
    ids=["argument", "dict", "config"],
)
def test_a_training_without_progress_stops_early(model: SCDual, options: dict[str, object]) -> None:
    model.train(40, plan_kwargs={"lr": 0.0}, **options)
    assert len(model.history["train_loss"]) < 40
    assert model.is_trained


def test_a_length_that_the_model_chooses_ends_early_when_held_out_cells_gain_nothing(model: SCDual) -> None:
    model.train(max_steps=2)
    stopping = model.trainer.early_stopping_callback
    assert (stopping.monitor, stopping.patience) == ("elbo_validation", 45)
    assert stopping.warmup_epochs == 200  # 400 steps of the KL divergence, 2 an epoch


@pytest.mark.parametrize(
    "options", [{"max_epochs": 2}, {"early_stopping": False}, {"train_size": 1.0}], ids=["length", "False", "no cells"]
)
def test_a_length_that_the_user_chooses_does_not(model: SCDual, options: dict[str, object]) -> None:
    model.train(**{"max_steps": 2} | options)
    assert model.trainer.early_stopping_callback is None


def test_early_stopping_without_validation_cells_is_an_error(model: SCDual) -> None:
    with pytest.raises(ValueError, match="`early_stopping` needs validation cells"):
        model.train(1, early_stopping=True, train_size=1.0)
    assert not model.is_trained


def test_all_cells_may_train(model: SCDual) -> None:
    model.train(1, train_size=1.0)
    assert len(model.train_indices) == 150
    assert "train_loss" in model.history
    assert "validation_loss" not in model.history


def test_the_split_can_be_given(model: SCDual) -> None:
    split = [np.arange(100), np.arange(100, 130), np.arange(130, 150)]
    model.train(1, datasplitter_kwargs={"external_indexing": split})
    for found, expected in zip((model.train_indices, model.validation_indices, model.test_indices), split, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_the_list_of_callbacks_is_not_changed(model: SCDual) -> None:
    callbacks = [LearningRateMonitor()]
    model.train(1, callbacks=callbacks, early_stopping=True)
    model.train(1, callbacks=callbacks, early_stopping=True)
    assert len(callbacks) == 1


@pytest.mark.parametrize(
    ("n_obs", "epochs"), [(500, 250), (2_000, 67), (2_638, 53), (10_000, 15), (14_200, 10), (100_000, 10)]
)
def test_the_default_length_gives_1000_steps_and_10_epochs(n_obs: int, epochs: int) -> None:
    assert default_max_epochs(n_obs, 128) == epochs
    steps = epochs * math.ceil(0.9 * n_obs / 128)
    assert steps >= 1_000
    assert epochs == 10 or steps < 1_000 + math.ceil(0.9 * n_obs / 128)


def test_no_number_of_epochs_means_the_default(model: SCDual, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scdual.model._training.default_max_epochs", lambda n_obs, batch_size: n_obs // batch_size)
    model.train(batch_size=50)
    assert len(model.history["train_loss"]) == 3


@pytest.mark.parametrize(("n_obs", "train_size"), [(129, 1.0), (143, 0.9), (143, None)])
def test_a_last_minibatch_of_one_cell_trains(n_obs: int, train_size: float | None) -> None:
    adata = simulate(n_obs, 20, n_regulators=4)
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator")
    model.train(2, batch_size=128, train_size=train_size)
    assert np.isfinite(model.history["train_loss"].to_numpy(dtype=float)).all()
    assert np.isfinite(model.get_latent_representation()).all()


def test_the_same_seed_gives_the_same_weights(adata: AnnData) -> None:
    SCDual.setup_anndata(adata)
    runs = []
    for seed in (3, 3, 4):
        scvi.settings.seed = seed
        model = SCDual(adata, regulators="regulator")
        model.train(2)
        runs.append(model.module.state_dict())
    assert all(torch.equal(runs[0][key], runs[1][key]) for key in runs[0])
    assert any(not torch.equal(runs[0][key], runs[2][key]) for key in runs[0])


@pytest.mark.filterwarnings("ignore:Sparse")
def test_sparse_minibatches_give_the_same_model(adata: AnnData) -> None:
    SCDual.setup_anndata(adata)
    latents = []
    for load_sparse_tensor in (False, True):
        scvi.settings.seed = 0
        model = SCDual(adata, regulators="regulator")
        model.train(1, load_sparse_tensor=load_sparse_tensor)
        latents.append(model.get_latent_representation())
    np.testing.assert_allclose(latents[0], latents[1], atol=1e-3)


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
def test_an_interrupted_training_can_be_resumed(model: SCDual, adata: AnnData, tmp_path: object) -> None:
    keep = ModelCheckpoint(tmp_path, save_last=True)
    model.train(2, callbacks=[keep], enable_checkpointing=True)
    resumed = SCDual(adata, regulators="regulator")
    resumed.train(3, ckpt_path=keep.last_model_path, callbacks=[Spy()])
    assert list(resumed.history["train_loss"].index) == [2]
    assert resumed.module.is_scaled
    torch.testing.assert_close(resumed.module.map.values.scale.mean, model.module.map.values.scale.mean)


def test_an_unknown_argument_of_the_plan_is_an_error(model: SCDual) -> None:
    with pytest.raises(TypeError, match="learning_rate"):
        model.train(1, plan_kwargs={"learning_rate": 1e-3})


def test_losses_can_be_logged_at_every_step(model: SCDual) -> None:
    model.train(2, plan_kwargs={"on_step": True, "on_epoch": True}, log_every_n_steps=1)
    assert {"train_loss_step", "train_loss_epoch"} <= set(model.history)
    model.annotate()
    assert model.adata.uns["scdual"]["n_epochs"] == 2


@pytest.mark.parametrize("gene_likelihood", ["nb", "zinb", "poisson"])
def test_every_likelihood_trains(adata: AnnData, gene_likelihood: str) -> None:
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator", gene_likelihood=gene_likelihood)
    model.train(1)
    assert np.isfinite(float(model.get_elbo()))


@pytest.mark.filterwarnings("ignore:Extra tracked metrics")  # scvi-tools 1.5, of its own models as well
def test_autotune_may_ask_for_the_latent_state(adata: AnnData) -> None:
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator", extra_payload_autotune=True)
    model.train(1, check_val_every_n_epoch=1, enable_progress_bar=False)
    assert model.is_trained


@pytest.mark.parametrize(
    "arguments", [{"batch_size": 0}, {"plan_kwargs": {"learning_rate": 1}}, {"accelerator": "tpuu"}]
)
def test_a_training_that_does_not_start_keeps_the_ensemble(model: SCDual, arguments: dict[str, object]) -> None:
    model.train(1, enable_progress_bar=False)
    model.train_ensemble(2, enable_progress_bar=False)
    with pytest.raises((TypeError, ValueError)):
        model.train(1, **arguments)
    assert model.get_regulation().evidence is not None


@pytest.mark.filterwarnings("ignore:Category 0 in .* has fewer than 3 cells")
@pytest.mark.parametrize(("n_cells", "train_size"), [(1, None), (2, None), (9, None), (9, 1.0), (20, 0.99)])
def test_few_cells_train_without_validation(adata: AnnData, n_cells: int, train_size: float | None) -> None:
    few = adata[:n_cells].copy()
    SCDual.setup_anndata(few)
    model = SCDual(few, regulators="regulator", n_hidden=8)
    model.train(1, train_size=train_size, enable_progress_bar=False)
    assert len(model.train_indices) == n_cells
    assert np.isfinite(model.get_latent_representation()).all()


def test_shares_that_add_up_to_more_than_all_cells(model: SCDual) -> None:
    with pytest.raises(ValueError, match=r"`train_size` is 0.9, its default, and `validation_size` 0.5"):
        model.train(1, validation_size=0.5)


def test_an_accelerator_that_this_machine_lacks(model: SCDual) -> None:
    with pytest.raises(ValueError, match=r"`accelerator` is 'mps', but this machine has only \[.*'cpu'.*\]"):
        model.train(1, accelerator="mps")


@pytest.mark.parametrize("options", [{"train_size": 0.999}, {"train_size": 0.5, "validation_size": 0.0}])
def test_a_share_that_leaves_no_cell_for_validation_trains(model: SCDual, options: dict[str, float]) -> None:
    model.train(1, **options)
    assert "validation_loss" not in model.history
    with pytest.raises(ValueError, match="`early_stopping` needs validation cells"):
        model.train(1, early_stopping=True, **options)


def test_regulators_in_too_few_cells_are_named_once_and_have_no_edges(adata: AnnData) -> None:
    name = adata.var_names[adata.var["regulator"]][0]
    counts = adata.X.toarray()
    counts[4:, adata.var_names.get_loc(name)] = 0
    counts[:4, adata.var_names.get_loc(name)] = 2
    adata.X = counts
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator", n_hidden=8, min_cells=5)
    with pytest.warns(UserWarning, match=rf"1 of 6 regulators are expressed in fewer than 5 cells.*\['{name}'\]"):
        model.train(1)
    network = model.get_regulation()
    assert not network.weight[network.regulators.get_loc(name)].any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.train(1)
        again = SCDual(adata, regulators="regulator", n_hidden=8, min_cells=4)
        again.train(1)


def test_the_map_does_not_wait_for_its_steps(adata: AnnData) -> None:
    maps = []
    for map_every in (1, 4):
        scvi.settings.seed = 0
        SCDual.setup_anndata(adata)
        model = SCDual(adata, regulators="regulator")
        model.train(2, plan_kwargs={"map_every": map_every})
        maps.append(model.get_regulation())
    for first, second in zip(*[(network.weight, network.evidence.support) for network in maps], strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    "given",
    [{"limit_val_batches": 0}, {"fast_dev_run": True}, {"callbacks": [EarlyStopping("train_loss")]}],
    ids=["nothing validated", "test", "own"],
)
@pytest.mark.parametrize("where", ["argument", "config"])
def test_a_training_that_ends_otherwise_is_not_stopped_early(model: SCDual, given: dict[str, Any], where: str) -> None:
    options = given if where == "argument" else {"trainer_config": given}
    model.train(max_steps=2, **options)
    assert model.trainer.early_stopping_callbacks == given.get("callbacks", [])
    assert len(model.validation_indices) > 0


def test_early_stopping_that_validates_nothing_is_an_error(model: SCDual) -> None:
    with pytest.raises(ValueError, match="`limit_val_batches` leave none"):
        model.train(1, early_stopping=True, limit_val_batches=0)
    assert not model.is_trained
