"""Training from a datamodule instead of data, as for data that do not fit into memory."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scvi
import torch
from anndata import AnnData
from anndata.experimental import AnnCollection
from lightning import LightningDataModule
from scvi.data import AnnDataManager
from scvi.dataloaders import CollectionAdapter, DataSplitter
from torch.utils.data import DataLoader

from scdual.model import SCDual


@pytest.fixture
def manager(adata: AnnData) -> AnnDataManager:
    SCDual.setup_anndata(adata, batch_key="batch", labels_key="cell_type", categorical_covariate_keys=["cell_type"])
    return SCDual._get_most_recent_anndata_manager(adata)


def splitter(manager: AnnDataManager) -> DataSplitter:
    return DataSplitter(manager, batch_size=64)


def test_a_registry_is_enough_to_train_and_read(adata: AnnData, manager: AnnDataManager) -> None:
    regulators = list(adata.var_names[:5])
    model = SCDual(registry=manager.registry, regulators=regulators)
    assert model.adata is None
    assert (model.gene_names, model.regulators) == (list(adata.var_names), regulators)
    assert (model.module.n_batch, model.module.n_cats_per_cov) == (2, [5])
    model.train(max_epochs=1, datamodule=splitter(manager))
    assert model.is_trained
    assert {"train_loss", "validation_loss"} <= set(model.history)
    loader = splitter(manager)
    loader.setup()
    latent = model.get_latent_representation(dataloader=loader.val_dataloader())
    assert latent.shape == (len(loader.val_idx), model.module.n_latent)
    np.testing.assert_allclose(latent, model.get_latent_representation(adata)[loader.val_idx], atol=1e-5)
    assert model.get_regulation(adata).weight.shape == (5, 36)


def test_it_learns_the_same_as_from_the_data(adata: AnnData, manager: AnnDataManager) -> None:
    models = []
    for from_data in (True, False):
        scvi.settings.seed = 0
        source = {"adata": adata} if from_data else {"registry": manager.registry}
        model = SCDual(**source, regulators=["REG01", "REG02"])
        model.train(max_epochs=1, batch_size=64, datamodule=None if from_data else splitter(manager))
        models.append(model)
    latents = [model.get_latent_representation(adata) for model in models]
    np.testing.assert_allclose(latents[0], latents[1], atol=1e-3)


def test_without_a_length_the_datamodule_must_know_its_size(manager: AnnDataManager) -> None:
    model = SCDual(registry=manager.registry, regulators=None)
    with pytest.raises(ValueError, match="`datamodule` does not have `n_obs` attribute, `max_epochs` must be"):
        model.train(datamodule=splitter(manager))


def test_the_length_follows_from_the_size_of_the_datamodule(
    manager: AnnDataManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scdual.model._training.default_max_epochs", lambda n_obs, batch_size: n_obs // 75)
    model = SCDual(registry=manager.registry, regulators=None)
    source = splitter(manager)
    source.n_obs = 150
    model.train(datamodule=source)
    assert len(model.history["train_loss"]) == 2


def test_without_data_and_datamodule_training_is_an_error(manager: AnnDataManager) -> None:
    model = SCDual(registry=manager.registry, regulators=None)
    with pytest.raises(ValueError, match="loaded or built without data"):
        model.train(1)


class Streamed(LightningDataModule):
    """A datamodule as those of scvi-tools for data on disk are: batches get their names on the way to the device."""

    n_obs = 150

    def __init__(self, adata: AnnData, *, batch_size: int = 50, number: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.adata, self.batch_size, self.number = adata, batch_size, number
        self.batches = sorted(set(adata.obs["batch"]))
        self.labels = [*sorted(set(adata.obs["cell_type"])), "Unknown"]

    def _rows(self) -> list[dict[str, Any]]:
        counts = torch.from_numpy(self.adata.X.toarray())
        columns = zip(counts, self.adata.obs["batch"], self.adata.obs["cell_type"], strict=True)
        return [{"counts": x, "batch": self.batches.index(b), "label": self.labels.index(c)} for x, b, c in columns]

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self._rows(), batch_size=self.batch_size)

    def val_dataloader(self) -> list[Any]:
        return []

    def on_before_batch_transfer(self, batch: dict[str, torch.Tensor], dataloader_idx: int) -> dict[str, Any]:
        codes = {"batch": batch["batch"][:, None], "labels": batch["label"][:, None]}
        return {"X": batch["counts"].to(self.number), **codes}

    def inference_dataloader(self) -> list[dict[str, Any]]:
        return [self.on_before_batch_transfer(batch, 0) for batch in self.train_dataloader()]

    @property
    def registry(self) -> dict[str, Any]:
        x = {"column_names": list(self.adata.var_names), "n_vars": self.adata.n_vars, "n_obs": self.adata.n_obs}
        fields = {
            "X": {
                "state_registry": x,
                "summary_stats": {"n_vars": self.adata.n_vars},
                "data_registry": {"attr_name": "X", "attr_key": None},
            },
            "batch": {"state_registry": {"categorical_mapping": np.array(self.batches), "original_key": "batch"}},
            "labels": {
                "state_registry": {
                    "categorical_mapping": np.array(self.labels, dtype=object),
                    "original_key": "cell_type",
                    "unlabeled_category": "Unknown",
                },
            },
            "sample": {"state_registry": {}, "n_obs_per_sample": {"n_obs_per_sample": torch.ones(2)}},
        }
        keys = {"batch_key": "batch", "labels_key": "cell_type", "sample_key": None}
        return {
            "setup_method_name": "setup_datamodule",
            "model_name": "SCVI",
            "scvi_version": scvi.__version__,
            "setup_args": keys,
            "field_registries": fields,
        }


SIZES = {"regulators": ["REG01", "REG02"], "n_embed": 8, "n_hidden": 8, "n_latent": 3}


@pytest.mark.parametrize("number", [torch.float32, torch.int64, torch.float64])
def test_cells_that_stream_give_the_model_that_they_give_in_memory(adata: AnnData, number: torch.dtype) -> None:
    datamodule = Streamed(adata, number=number)
    model = SCDual(registry=datamodule.registry, **SIZES)
    assert (model.module.n_batch, model.module.n_labels, model.module.n_classes) == (2, 6, 5)
    model.train(1, datamodule=datamodule, plan_kwargs={"lr": 0.0}, train_size=1.0)
    SCDual.setup_anndata(adata, batch_key="batch")
    other = SCDual(adata, **SIZES)
    other.train(1, plan_kwargs={"lr": 0.0}, train_size=1.0, batch_size=40)
    found, expected = model.get_regulation(), other.get_regulation()
    np.testing.assert_allclose(found.weight, expected.weight, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found.evidence.sd, expected.evidence.sd, rtol=1e-5, atol=1e-7)
    latent = model.get_latent_representation(dataloader=datamodule.inference_dataloader())
    np.testing.assert_allclose(model.get_latent_representation(adata), latent, atol=1e-5)


def test_a_model_of_a_datamodule_is_saved_and_goes_on(adata: AnnData, tmp_path: Path) -> None:
    datamodule = Streamed(adata)
    model = SCDual(registry=datamodule.registry, **SIZES)
    model.train(1, datamodule=datamodule, train_size=1.0)
    model.save(tmp_path / "model")
    minibatches = datamodule.inference_dataloader()
    expected = model.get_latent_representation(dataloader=minibatches)
    for given in ({"adata": False}, {"datamodule": datamodule}, {"adata": adata.copy()}):
        loaded = SCDual.load(tmp_path / "model", **given)
        np.testing.assert_array_equal(loaded.get_latent_representation(dataloader=minibatches), expected)
        np.testing.assert_array_equal(loaded.get_regulation().weight, model.get_regulation().weight)
    other = Streamed(adata[:, ::-1].copy())
    with pytest.raises(ValueError, match="other genes than the model: they are in another order"):
        SCDual.load(tmp_path / "model", datamodule=other)
    with pytest.raises(ValueError, match="Only one of `adata` or `datamodule`"):
        SCDual.load(tmp_path / "model", adata, datamodule=datamodule)


def test_a_minibatch_of_one_cell_is_learnt_from(adata: AnnData) -> None:
    datamodule = Streamed(adata, batch_size=149)
    model = SCDual(registry=datamodule.registry, **SIZES)
    model.train(2, datamodule=datamodule, train_size=1.0)
    assert np.isfinite(model.history["train_loss"].to_numpy(dtype=float)).all()
    assert model.get_latent_representation(dataloader=datamodule.inference_dataloader()[1:]).shape == (1, 3)
    model.get_latent_representation(adata[:5].copy())  # which the model adopts, as in scvi-tools
    model.train(1, datamodule=datamodule, train_size=1.0)


def test_the_length_follows_from_the_minibatches_of_the_datamodule(
    adata: AnnData, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    monkeypatch.setattr(
        "scdual.model._training.default_max_epochs", lambda n_obs, batch_size: found.append(batch_size) or 1
    )
    datamodule = Streamed(adata, batch_size=75)
    SCDual(registry=datamodule.registry, **SIZES).train(datamodule=datamodule, train_size=1.0)
    assert found == [75]


def changed(datamodule: Streamed, field: str, **state: Any) -> Streamed:
    registry = datamodule.registry
    registry["field_registries"][field]["state_registry"] |= state

    class Changed(Streamed):
        @property
        def registry(self) -> dict[str, Any]:
            return registry

    return Changed(datamodule.adata)


@pytest.mark.parametrize(
    ("field", "state", "said"),
    [
        (
            "X",
            {"column_names": ["A", "B"]},
            r"other genes than the model: it lacks .* the model does not know \['A', 'B'\]",
        ),
        ("batch", {"categorical_mapping": ["batch_1", "x"]}, r"batches .* lacks \['batch_2'\] and .* know \['x'\]"),
        ("batch", {"categorical_mapping": ["batch_2", "batch_1"]}, "batches than the model: they are in another order"),
        ("batch", {"categorical_mapping": ["batch_1"]}, r"batches than the model: it lacks \['batch_2'\]"),
        ("labels", {"categorical_mapping": ["a", "Unknown"]}, "other labels than the model"),
    ],
)
def test_a_datamodule_of_other_cells_is_refused_before_the_first_step(
    adata: AnnData, field: str, state: dict[str, Any], said: str
) -> None:
    datamodule = Streamed(adata)
    model = SCDual(registry=datamodule.registry, **SIZES)
    with pytest.raises(ValueError, match=f"The datamodule has {said}|{said}"):
        model.train(1, datamodule=changed(datamodule, field, **state))
    assert not model.is_trained
    assert not model.module.is_scaled


def test_a_model_with_data_takes_no_datamodule(adata: AnnData, manager: AnnDataManager) -> None:
    model = SCDual(adata, **SIZES)
    with pytest.raises(ValueError, match="built with data, so `datamodule` would leave these unread"):
        model.train(1, datamodule=splitter(manager))


def test_minibatches_before_their_way_to_the_device_are_refused(adata: AnnData) -> None:
    datamodule = Streamed(adata)
    model = SCDual(registry=datamodule.registry, **SIZES)
    model.train(1, datamodule=datamodule, train_size=1.0)
    with pytest.raises(ValueError, match=r"expected a dictionary .* pass `datamodule.inference_dataloader\(\)`"):
        model.get_latent_representation(dataloader=datamodule.train_dataloader())


@pytest.mark.parametrize("registry", [{}, {"field_registries": {}}, {"setup_method_name": "setup_datamodule"}])
def test_a_registry_without_genes(registry: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="`registry` names no genes"):
        SCDual(registry=registry)


def test_collections_of_anndata_say_what_to_do(adata: AnnData) -> None:
    adata.layers["counts"] = adata.X
    collection = AnnCollection([adata], join_vars="inner")
    for data in (collection, CollectionAdapter(collection)):
        with pytest.raises(TypeError, match=r"`adata` is of type .*Collection.*`anndata.experimental.concat_on_disk`"):
            SCDual.setup_anndata(data, layer="counts")
