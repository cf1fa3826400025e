"""What a user of scvi-tools expects of saved and loaded models."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from torch.nn.attention import SDPBackend, sdpa_kernel

from scdual.datasets import simulate_mudata
from scdual.model import SCDual

OTHER_NAMES = pytest.mark.filterwarnings("ignore:.*`var_names` for the loaded `model` does not match")
IN_A_NEW_PROCESS = """
import sys
import numpy as np, torch
from scdual.model import SCDual

torch.set_num_threads(1)
np.save(sys.argv[2], SCDual.load(sys.argv[1], accelerator="cpu").get_latent_representation())
"""


class Renamed(SCDual):
    """Another class, as far as loading is concerned."""


@pytest.fixture
def folder(trained: SCDual, tmp_path: Path) -> Path:
    trained.save(tmp_path / "model")
    return tmp_path / "model"


def same_weights(model: SCDual, other: SCDual) -> bool:
    state, found = model.module.state_dict(), other.module.state_dict()
    return set(state) == set(found) and all(torch.equal(state[key], found[key]) for key in state)


def test_a_loaded_model_gives_exactly_the_same(trained: SCDual, folder: Path, adata: AnnData) -> None:
    loaded = SCDual.load(folder, adata=adata)
    assert same_weights(loaded, trained)
    np.testing.assert_array_equal(loaded.get_latent_representation(), trained.get_latent_representation())
    np.testing.assert_array_equal(loaded.get_regulation().weight, trained.get_regulation().weight)


@pytest.mark.slow
def test_another_process_gives_exactly_the_same(trained: SCDual, tmp_path: Path) -> None:
    trained.save(tmp_path / "model", save_anndata=True)
    command = [sys.executable, "-c", IN_A_NEW_PROCESS, str(tmp_path / "model"), str(tmp_path / "latent.npy")]
    subprocess.run(command, check=True, capture_output=True)
    np.testing.assert_array_equal(np.load(tmp_path / "latent.npy"), trained.get_latent_representation())


def test_a_loaded_model_remembers_its_training(trained: SCDual, folder: Path, adata: AnnData) -> None:
    loaded = SCDual.load(folder, adata=adata)
    assert loaded.is_trained
    np.testing.assert_array_equal(loaded.train_indices, trained.train_indices)
    np.testing.assert_array_equal(loaded.validation_indices, trained.validation_indices)
    pd.testing.assert_frame_equal(loaded.history["elbo_train"], trained.history["elbo_train"])


def test_a_loaded_model_remembers_its_registration(folder: Path, adata: AnnData) -> None:
    loaded = SCDual.load(folder, adata=adata)
    batch = loaded.adata_manager.data_registry.batch
    assert dict(batch) == {"attr_name": "obs", "attr_key": "_scvi_batch"}
    assert loaded.get_setup_arg("batch_key") == "batch"


def test_a_loaded_model_can_be_trained_on(trained: SCDual, folder: Path, adata: AnnData) -> None:
    loaded = SCDual.load(folder, adata=adata)
    loaded.train(1)
    assert len(loaded.history["train_loss"]) == 3
    assert not same_weights(loaded, trained)


def test_files_have_the_prefix(trained: SCDual, tmp_path: Path) -> None:
    trained.save(tmp_path / "model", prefix="mine_", save_anndata=True)
    assert {path.name for path in (tmp_path / "model").iterdir()} == {
        "mine_model.json",
        "mine_model.safetensors",
        "mine_adata.h5ad",
    }
    loaded = SCDual.load(tmp_path / "model", prefix="mine_")
    np.testing.assert_array_equal(loaded.get_latent_representation(), trained.get_latent_representation())


def test_a_folder_is_overwritten_only_when_asked_for(trained: SCDual, folder: Path) -> None:
    before = (folder / "model.json").stat().st_mtime_ns
    with pytest.raises(ValueError, match="already exists"):
        trained.save(folder)
    assert (folder / "model.json").stat().st_mtime_ns == before
    trained.save(folder, overwrite=True)
    assert (folder / "model.json").stat().st_mtime_ns > before


def test_data_are_saved_with_the_model(trained: SCDual, tmp_path: Path) -> None:
    trained.save(tmp_path / "model", save_anndata=True)
    loaded = SCDual.load(tmp_path / "model")
    assert (loaded.adata.X != trained.adata.X).nnz == 0
    np.testing.assert_array_equal(loaded.get_latent_representation(), trained.get_latent_representation())


@OTHER_NAMES
def test_another_number_of_genes_is_an_error(folder: Path, adata: AnnData) -> None:
    with pytest.raises(ValueError, match="3 of the model's 36 genes are missing"):
        SCDual.load(folder, adata=adata[:, 3:].copy())


@OTHER_NAMES
@pytest.mark.parametrize("change", ["order", "names"])
def test_other_genes_are_an_error(folder: Path, adata: AnnData, change: str) -> None:
    other = adata[:, ::-1].copy()
    if change == "names":
        other.var_names = [f"other_{name}" for name in other.var_names]
    with pytest.raises(ValueError, match="in another order|are unknown to it"):
        SCDual.load(folder, adata=other)


def test_new_batches_are_an_error(folder: Path, adata: AnnData) -> None:
    adata.obs["batch"] = adata.obs["batch"].cat.rename_categories({"batch_1": "new"})
    with pytest.raises(ValueError, match=r"unknown to the model, e\.g\. \['new'\]"):
        SCDual.load(folder, adata=adata)


def test_cells_with_new_labels_count_as_unlabelled(folder: Path, adata: AnnData) -> None:
    adata.obs["cell_type"] = adata.obs["cell_type"].cat.rename_categories({"type_1": "new"})
    with pytest.warns(UserWarning, match="1 labels of the new data are unknown"):
        loaded = SCDual.load(folder, adata=adata)
    assert loaded.summary_stats.n_labels == loaded.module.n_labels


def test_the_setup_of_a_saved_model_can_be_viewed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    SCDual.view_setup_args(str(folder))
    assert "'batch_key': 'batch'" in capsys.readouterr().out
    assert SCDual.load_registry(str(folder))["setup_args"]["labels_key"] == "cell_type"


def test_a_model_goes_through_the_hub_format(trained: SCDual, tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    from scvi.hub import HubMetadata, HubModel

    folder = str(tmp_path / "model")
    trained.save(folder, save_anndata=True)
    metadata = HubMetadata(
        scvi_version=SCDual.load_registry(folder)["scvi_version"],
        anndata_version=version("anndata"),
        model_cls_name="SCDual",
        model_parent_module="scdual.model",
    )
    card = hub.ModelCard("---\nlicense: bsd-3-clause\n---\n\nA model of SCDual.")
    HubModel(folder, metadata=metadata, model_card=card).save(overwrite=True)
    read = HubModel(folder)
    assert isinstance(read.model, SCDual)
    np.testing.assert_array_equal(read.model.get_latent_representation(), trained.get_latent_representation())


def test_a_model_without_data_reads_what_it_is_given(trained: SCDual, folder: Path, adata: AnnData) -> None:
    loaded = SCDual.load(folder, adata=False)
    assert loaded.adata is None
    np.testing.assert_array_equal(loaded.get_latent_representation(adata), trained.get_latent_representation())
    for given in (None, adata):
        np.testing.assert_array_equal(loaded.get_regulation(given).weight, trained.get_regulation().weight)
    assert list(loaded.get_normalized_expression(adata).columns) == trained.gene_names


@pytest.mark.parametrize("method", ["train", "get_latent_representation", "annotate", "predict"])
def test_without_any_data_the_message_says_so(folder: Path, method: str) -> None:
    loaded = SCDual.load(folder, adata=False)
    with pytest.raises(ValueError, match="loaded or built without data"):
        getattr(loaded, method)()


def test_another_class_cannot_load_the_model(folder: Path) -> None:
    with pytest.raises(ValueError, match="loading a model from a different class"):
        Renamed.load(folder, adata=False)


def test_a_class_loads_the_models_it_is_told_to(folder: Path) -> None:
    loaded = Renamed.load(folder, adata=False, allowed_classes_names_list=["SCDual"])
    assert isinstance(loaded, Renamed)
    assert loaded.is_trained


@pytest.mark.parametrize("kind", [str, Path])
def test_a_model_is_saved_and_loaded_by_path(trained: SCDual, adata: AnnData, tmp_path: Path, kind: type) -> None:
    trained.save(kind(tmp_path / "model"))
    assert same_weights(SCDual.load(kind(tmp_path / "model"), adata=adata), trained)


@pytest.mark.parametrize("kind", [str, Path])
def test_registry_and_setup_are_read_by_path(folder: Path, kind: type, capsys: pytest.CaptureFixture[str]) -> None:
    assert SCDual.load_registry(kind(folder))["model_name"] == "SCDual"
    SCDual.view_setup_args(kind(folder))
    assert "SCDual.setup_anndata" in capsys.readouterr().out


@pytest.mark.parametrize("kind", [str, Path])
def test_a_query_is_loaded_by_path(trained: SCDual, folder: Path, adata: AnnData, kind: type) -> None:
    loaded = SCDual.load_query_data(adata, kind(folder))
    np.testing.assert_array_equal(loaded.get_latent_representation(), trained.get_latent_representation())


@pytest.mark.parametrize("kind", [str, Path])
def test_a_query_is_prepared_by_path(folder: Path, adata: AnnData, kind: type) -> None:
    expected = list(adata.var_names)
    found = SCDual.prepare_query_anndata(adata[:, ::-1].copy(), kind(folder), inplace=False)
    assert list(found.var_names) == expected


@pytest.mark.filterwarnings("ignore:The method mod_names is deprecated:FutureWarning")
@pytest.mark.parametrize("kind", [str, Path])
def test_a_query_of_several_modalities_is_prepared_by_path(tmp_path: Path, kind: type) -> None:
    mdata = simulate_mudata(60, 36, n_proteins=3, n_regulators=4)
    SCDual.setup_mudata(mdata, modalities={"rna_layer": "rna"})
    SCDual(mdata, regulators="regulator").save(tmp_path / "model")
    found = SCDual.prepare_query_mudata(mdata.copy(), kind(tmp_path / "model"), inplace=False)
    assert list(found["rna"].var_names) == list(mdata["rna"].var_names)


@pytest.mark.filterwarnings("ignore:The method mod_names is deprecated:FutureWarning")
def test_genes_of_several_modalities_are_not_subset_on_loading() -> None:
    mdata = simulate_mudata(60, 36, n_proteins=3, n_regulators=4)
    SCDual.setup_mudata(mdata, modalities={"rna_layer": "rna"})
    reference = SCDual(mdata, regulators="regulator")
    with pytest.raises(NotImplementedError, match="not possible for MuData; call `prepare_query_mudata` first"):
        SCDual.load_query_data(mdata.copy(), reference, inplace_subset_query_vars=True)


def test_weights_do_not_depend_on_how_attention_is_computed(trained: SCDual, folder: Path, adata: AnnData) -> None:
    SCDual.setup_anndata(adata, batch_key="batch", labels_key="cell_type")
    with sdpa_kernel(SDPBackend.MATH):
        model = SCDual(adata, regulators="regulator")
        model.train(1)
        assert list(model.module.state_dict()) == list(trained.module.state_dict())
        loaded = SCDual.load(folder, adata=adata)
        found = loaded.get_regulation().weight
    assert same_weights(loaded, trained)
    np.testing.assert_allclose(found, trained.get_regulation().weight, atol=1e-5)
