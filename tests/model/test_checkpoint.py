"""A training that is killed goes on from its checkpoint to the weights that it would have had."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import scvi
import torch
from anndata import AnnData
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint

from scdual.datasets import simulate
from scdual.model import SCDual

pytestmark = pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")


@pytest.fixture
def adata() -> AnnData:
    return simulate(150, 36, n_regulators=6, n_batches=2)


def build(adata: AnnData, **arguments: Any) -> SCDual:
    SCDual.setup_anndata(adata, batch_key="batch")
    return SCDual(adata, regulators="regulator", **arguments)


def digest(model: SCDual) -> str:
    return hashlib.sha256(b"".join(v.numpy().tobytes() for v in model.module.state_dict().values())).hexdigest()


class Stop(Callback):
    """End the training by an error in the middle of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.current_epoch == self.epoch:
            msg = "the machine stopped"
            raise OSError(msg)


def stopped(adata: AnnData, folder: Path, *, epoch: int = 2, seed: int | None = 0, **options: Any) -> Path:
    """Return the checkpoint of the epochs before the one in which a training stopped."""
    scvi.settings.seed = seed
    last = ModelCheckpoint(folder, save_last=True)
    with pytest.raises(OSError, match="stopped"):
        build(adata).train(4, batch_size=32, callbacks=[last, Stop(epoch)], **options)
    return Path(last.last_model_path)


@pytest.mark.parametrize("train_size", [None, 1.0], ids=["validation", "no validation"])
def test_weights_are_those_of_a_training_without_a_stop(
    adata: AnnData, tmp_path: Path, train_size: float | None
) -> None:
    options: dict[str, Any] = {"batch_size": 32, "train_size": train_size}
    scvi.settings.seed = 0
    whole = build(adata)
    whole.train(4, callbacks=[ModelCheckpoint(tmp_path / "whole", save_last=True)], **options)
    path = stopped(adata, tmp_path / "part", train_size=train_size)
    scvi.settings.seed = 1  # the checkpoint knows better
    model = build(adata)
    model.train(4, ckpt_path=path, callbacks=[ModelCheckpoint(tmp_path / "part", save_last=True)], **options)
    assert list(model.history["train_loss"].index) == [2, 3]
    assert digest(model) == digest(whole)
    assert sorted(model.train_indices) == sorted(whole.train_indices)


def test_early_stopping_goes_on_where_it_was(adata: AnnData, tmp_path: Path) -> None:
    never_better = {"early_stopping_min_delta": 1e9, "early_stopping_patience": 1, "early_stopping_warmup_epochs": 1}
    options: dict[str, Any] = {"batch_size": 32, "early_stopping": True, **never_better}
    whole = build(adata)
    whole.train(20, **options)
    path = stopped(adata, tmp_path, early_stopping=True, **never_better)  # after the first that counts
    model = build(adata)
    model.train(20, ckpt_path=path, **options)
    assert model.history["train_loss"].index[-1] == whole.history["train_loss"].index[-1] == 2


def test_a_checkpoint_changes_nothing_and_writes_one_folder(adata: AnnData, tmp_path: Path) -> None:
    scvi.settings.logging_dir = tmp_path / "log"
    digests = []
    for callbacks in ([], [ModelCheckpoint(tmp_path / "last")]):
        scvi.settings.seed = 0
        model = build(adata)
        model.train(2, callbacks=callbacks)
        digests.append(digest(model))
    assert digests[0] == digests[1]
    assert len(list((tmp_path / "last").iterdir())) == 1
    assert not (tmp_path / "log").exists()


def test_without_a_seed_the_same_cells_train(adata: AnnData, tmp_path: Path) -> None:
    path = stopped(adata, tmp_path, seed=None)
    split = torch.load(path)["scdual"]["split"]
    model = build(adata)
    model.train(3, batch_size=32, ckpt_path=path)
    assert list(model.train_indices) == split["train_idx"].tolist()
    assert list(model.validation_indices) == split["val_idx"].tolist()


def test_a_checkpoint_of_the_last_epoch_is_the_end(adata: AnnData, tmp_path: Path) -> None:
    scvi.settings.seed = 0
    whole, last = build(adata), ModelCheckpoint(tmp_path, save_last=True)
    whole.train(2, train_size=1.0, callbacks=[last])
    model = build(adata)
    model.train(2, train_size=1.0, ckpt_path=last.last_model_path)
    assert model.is_trained
    assert digest(model) == digest(whole)


def test_what_does_not_fit_is_refused_before_anything_changes(adata: AnnData, tmp_path: Path) -> None:
    path = stopped(adata, tmp_path)
    others = simulate(150, 36, n_regulators=6, n_batches=2, seed=1)
    damaged = tmp_path / "damaged.ckpt"
    damaged.write_bytes(path.read_bytes()[:5_000])
    text = tmp_path / "text.ckpt"
    text.write_text("no checkpoint")
    other = tmp_path / "other.ckpt"
    torch.save({"weights": torch.ones(3)}, other)
    cases = [
        (build(adata, n_latent=3), path, 4, "of a model with other genes, regulators or sizes; build the model with"),
        (build(others), path, 4, "of a training on other data: the counts and covariates differ"),
        (build(adata), path, 1, "after 2 epochs, but `max_epochs` is 1; pass the number it had, or more"),
        *((build(adata), bad, 4, "is no whole checkpoint of Lightning") for bad in (damaged, text, other)),
    ]
    for model, bad, max_epochs, message in cases:
        before = digest(model)
        with pytest.raises(ValueError, match=message):
            model.train(max_epochs, ckpt_path=bad)
        assert not model.is_trained
        assert digest(model) == before


TRAIN = """
import hashlib, json, os, signal, sys, warnings
warnings.simplefilter("ignore")
import scvi, torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from scdual.datasets import simulate
from scdual.model import SCDual

folder, options = sys.argv[1], json.loads(sys.argv[2])
torch.set_num_threads(1)

class Kill(Callback):
    def on_train_batch_end(self, trainer, plan, *rest):
        if trainer.global_step == options["kill_at"] and trainer.global_rank == 0:
            os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    scvi.settings.seed = 0
    adata = simulate(300, 36, n_regulators=6, n_batches=2)
    SCDual.setup_anndata(adata, batch_key="batch")
    model = SCDual(adata, regulators="regulator")
    last = os.path.join(folder, "last.ckpt")
    model.train(
        8, batch_size=30, accelerator="cpu", devices=options["devices"], enable_progress_bar=False,
        callbacks=[ModelCheckpoint(folder, save_last=True), Kill()],
        ckpt_path=last if options["resume"] else None,
    )
    if torch.distributed.is_initialized() and torch.distributed.get_rank():
        sys.exit()
    state = b"".join(values.numpy().tobytes() for values in model.module.state_dict().values())
    latent = model.get_latent_representation().tobytes()
    print("digest", hashlib.sha256(state + latent).hexdigest())
"""


def run(folder: Path, *, resume: bool, kill_at: int | None, devices: int) -> subprocess.CompletedProcess[str]:
    script = folder / "train.py"
    folder.mkdir(exist_ok=True)
    script.write_text(TRAIN, encoding="utf-8")
    options = {"resume": resume, "kill_at": kill_at, "devices": devices}
    return subprocess.run(
        [sys.executable, script.name, ".", json.dumps(options)],
        cwd=folder,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )


def printed(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr[-3000:]
    return next(line for line in done.stdout.splitlines() if line.startswith("digest"))


@pytest.mark.slow
@pytest.mark.parametrize("kills", [(37,), (14, 40, 70)], ids=["once", "three times"])
def test_a_killed_training_goes_on_to_the_same_weights(tmp_path: Path, kills: tuple[int, ...]) -> None:
    whole = printed(run(tmp_path / "whole", resume=False, kill_at=None, devices=1))
    for k, step in enumerate(kills):
        done = run(tmp_path / "part", resume=k > 0, kill_at=step, devices=1)
        assert done.returncode == -signal.SIGKILL, done.stderr[-3000:]
    assert printed(run(tmp_path / "part", resume=True, kill_at=None, devices=1)) == whole


@pytest.mark.slow
def test_two_processes_go_on_to_the_same_weights(tmp_path: Path) -> None:
    whole = printed(run(tmp_path / "whole", resume=False, kill_at=None, devices=2))
    assert run(tmp_path / "part", resume=False, kill_at=23, devices=2).returncode == -signal.SIGKILL
    assert printed(run(tmp_path / "part", resume=True, kill_at=None, devices=2)) == whole
