"""What a user of scvi-tools expects of callbacks, checkpoints and tuners."""

from pathlib import Path

import numpy as np
import pytest
import scvi
import torch
from anndata import AnnData
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from scvi.train import SaveCheckpoint

from scdual.model import SCDual


class IsTraining(Callback):
    """Remember at each step whether all parts of the module are in training mode."""

    def __init__(self) -> None:
        self.seen: list[bool] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: torch.nn.Module, *args: object) -> None:
        self.seen.append(all(part.training for part in pl_module.module.modules()))


class Spoiler(Callback):
    """Break the weights at the start of the third epoch."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: torch.nn.Module) -> None:
        if trainer.current_epoch == 2:
            with torch.no_grad():
                pl_module.module.map.gene_embedding.weight.fill_(torch.nan)


def losses(model: SCDual, key: str = "train_loss") -> np.ndarray:
    return model.history[key].to_numpy(dtype=float).ravel()


def same_weights(state: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return set(state) == set(other) and all(torch.equal(state[key], other[key]) for key in state)


@pytest.mark.parametrize(
    ("monitor", "options", "n_values"),
    [
        (LearningRateMonitor(), {"log_every_n_steps": 1}, 6),
        (LearningRateMonitor(logging_interval="step"), {"log_every_n_steps": 1}, 6),
        (LearningRateMonitor(logging_interval="epoch"), {}, 3),
    ],
    ids=["default", "step", "epoch"],
)
def test_a_monitor_of_the_learning_rate_writes_to_the_history(
    model: SCDual, monitor: LearningRateMonitor, options: dict[str, int], n_values: int
) -> None:
    model.train(3, callbacks=[monitor], **options)
    keys = [key for key in model.history if key.startswith("lr-AdamW")]
    assert keys
    for key in keys:
        assert len(model.history[key]) == n_values
        assert (losses(model, key) >= 0).all()


@pytest.mark.parametrize("monitor", ["validation_loss", "elbo_validation"])
def test_the_best_model_is_saved_and_restored(model: SCDual, tmp_path: Path, monitor: str) -> None:
    keep = SaveCheckpoint(dirpath=str(tmp_path), monitor=monitor, load_best_on_end=True)
    model.train(4, callbacks=[keep], enable_checkpointing=True)
    assert Path(keep.best_model_path).is_dir()
    assert float(keep.best_model_score) == pytest.approx(losses(model, monitor).min(), rel=1e-5)
    loaded = SCDual.load(keep.best_model_path, adata=model.adata)
    assert loaded.is_trained
    assert same_weights(loaded.module.state_dict(), model.module.state_dict())
    np.testing.assert_array_equal(loaded.get_latent_representation(), model.get_latent_representation())


def test_checkpoints_need_only_be_switched_on(model: SCDual, tmp_path: Path) -> None:
    scvi.settings.logging_dir = tmp_path / "log"
    model.train(2, enable_checkpointing=True)
    (best,) = (tmp_path / "log").glob("*_validation_loss/epoch=*/model.json")
    assert SCDual.load(best.parent, adata=model.adata).is_trained


def test_a_checkpoint_of_lightning_holds_optimiser_and_schedule(model: SCDual, tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, save_last=True)
    model.train(2, callbacks=[keep], enable_checkpointing=True)
    held = torch.load(keep.last_model_path, weights_only=False)
    assert held["optimizer_states"][0]["state"]
    assert held["lr_schedulers"][0]["last_epoch"] == 4
    expected = {f"module.{key}": tensor for key, tensor in model.module.state_dict().items()}
    assert all(torch.equal(held["state_dict"][key], tensor) for key, tensor in expected.items())


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
def test_training_goes_on_from_a_checkpoint_of_lightning(model: SCDual, adata: AnnData, tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, save_last=True)
    model.train(2, callbacks=[keep], enable_checkpointing=True)
    resumed = SCDual(adata, regulators="regulator")
    resumed.train(4, ckpt_path=keep.last_model_path, callbacks=[IsTraining()])
    assert list(resumed.history["train_loss"].index) == [2, 3]


def test_weights_before_a_failure_are_kept(model: SCDual, tmp_path: Path) -> None:
    keep = SaveCheckpoint(dirpath=str(tmp_path), monitor="validation_loss", check_nan_gradients=True)
    with pytest.raises(ValueError, match="nan"):
        model.train(4, callbacks=[Spoiler(), keep], enable_checkpointing=True)
    best = SCDual.load(keep.best_model_path, adata=model.adata)
    assert all(torch.isfinite(tensor).all() for tensor in best.module.parameters())
    assert same_weights(best.module.state_dict(), model.module.state_dict())


def test_a_tuner_can_build_and_train_the_model(adata: AnnData, tmp_path: Path) -> None:
    SCDual.setup_anndata(adata, batch_key="batch")
    setup = SCDual(adata, regulators="regulator").adata_manager._get_setup_method_args()["setup_args"]
    SCDual.setup_anndata(adata, **setup)
    model = SCDual(adata, regulators="regulator", n_hidden=16, n_latent=4, dropout_rate=0.2)
    logger, spy = CSVLogger(tmp_path), IsTraining()
    model.train(
        accelerator="auto",
        devices="auto",
        check_val_every_n_epoch=1,
        enable_progress_bar=False,
        logger=logger,
        callbacks=[spy],
        max_epochs=1,
        plan_kwargs={"lr": 1e-3},
    )
    assert model.trainer.logger is logger
    assert spy.seen == [True, True]
    assert "validation_loss" in model.trainer.callback_metrics
    assert model.get_latent_representation().shape == (150, 4)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_scvi_autotune_compares_settings(adata: AnnData, tmp_path: Path) -> None:
    pytest.importorskip("hyperopt")
    pytest.importorskip("scib_metrics")
    ray = pytest.importorskip("ray")
    from scvi.autotune import run_autotune

    SCDual.setup_anndata(adata, batch_key="batch")
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        experiment = run_autotune(
            SCDual,
            adata,
            metrics="validation_loss",
            mode="min",
            search_space={
                "model_params": {"regulators": "regulator", "n_latent": ray.tune.choice([3, 5])},
                "train_params": {"max_epochs": 1},
            },
            num_samples=2,
            scheduler="fifo",
            searcher="random",
            seed=0,
            resources={"cpu": 1},
            logging_dir=str(tmp_path),
            ignore_reinit_error=True,
        )
    finally:
        ray.shutdown()
    table = experiment.result_grid.get_dataframe()
    assert np.isfinite(table["validation_loss"]).all()
    assert len(table) == 2


def test_dropout_is_active_in_every_training(model: SCDual) -> None:
    spies = [IsTraining(), IsTraining()]
    for spy in spies:
        model.train(1, callbacks=[spy])
        assert spy.seen == [True, True]
        assert not model.module.training


def test_the_list_of_callbacks_stays_as_it_was(model: SCDual) -> None:
    callbacks = [IsTraining()]
    for _ in range(2):
        model.train(1, callbacks=callbacks, early_stopping=True)
    assert [type(callback) for callback in callbacks] == [IsTraining]
