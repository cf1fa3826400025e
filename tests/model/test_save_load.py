import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData

from scdual.model import SCDual

PRIOR = pd.DataFrame({"source": ["REG01", "REG02"], "target": ["GENE001", "GENE002"], "weight": [2.0, -1.0]})
READ_IN_A_NEW_PROCESS = """
import sys, warnings
import numpy as np, torch
from scdual.model import SCDual

torch.set_num_threads(int(sys.argv[3]))
model = SCDual.load(sys.argv[1], accelerator="cpu")
np.savez(sys.argv[2], latent=model.get_latent_representation(), regulation=model.get_regulation().weight)
"""


def same_weights(first: SCDual, second: SCDual) -> bool:
    one, two = first.module.state_dict(), second.module.state_dict()
    return set(one) == set(two) and all(torch.equal(one[key], two[key]) for key in one)


def test_a_new_process_reads_exactly_the_same_off_a_saved_model(trained: SCDual, tmp_path: Path) -> None:
    trained.save(tmp_path / "model", save_anndata=True)
    arguments = [str(tmp_path / "model"), str(tmp_path / "read.npz"), str(torch.get_num_threads())]
    subprocess.run([sys.executable, "-c", READ_IN_A_NEW_PROCESS, *arguments], check=True, capture_output=True)
    read = np.load(tmp_path / "read.npz")
    np.testing.assert_array_equal(read["latent"], trained.get_latent_representation())
    np.testing.assert_array_equal(read["regulation"], trained.get_regulation().weight)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_loaded_model_knows_everything(trained: SCDual, adata: AnnData, tmp_path: Path, kind: type) -> None:
    trained.save(kind(tmp_path / "model"))
    model = SCDual.load(kind(tmp_path / "model"), adata=adata)
    assert same_weights(model, trained)
    assert model.is_trained
    assert not model.module.training
    assert (model.gene_names, model.regulators) == (trained.gene_names, trained.regulators)
    assert model.summary_string == trained.summary_string
    np.testing.assert_array_equal(model.train_indices, trained.train_indices)
    np.testing.assert_array_equal(model.validation_indices, trained.validation_indices)
    pd.testing.assert_frame_equal(model.history["train_loss"], trained.history["train_loss"])
    np.testing.assert_array_equal(model.get_latent_representation(), trained.get_latent_representation())
    model.train(1)
    assert len(model.history["train_loss"]) == 3


def test_files_have_a_prefix_and_are_not_overwritten_by_accident(
    trained: SCDual, adata: AnnData, tmp_path: Path
) -> None:
    trained.save(tmp_path / "model", prefix="first_", save_anndata=True)
    assert {path.name for path in (tmp_path / "model").iterdir()} == {
        "first_model.json",
        "first_model.safetensors",
        "first_adata.h5ad",
    }
    with pytest.raises(ValueError, match="already exists"):
        trained.save(tmp_path / "model", prefix="second_")
    trained.save(tmp_path / "model", "second_", overwrite=True)
    model = SCDual.load(tmp_path / "model", prefix="first_")
    assert model.adata.shape == (150, 36)
    assert SCDual.load(tmp_path / "model", adata, prefix="second_").is_trained
    with pytest.raises(ValueError, match=r"holds no third_model\.json.*pass `prefix=`, one of \['first_', 'second_'\]"):
        SCDual.load(tmp_path / "model", prefix="third_")


def test_what_was_set_up_can_be_viewed_without_loading(
    trained: SCDual, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained.save(tmp_path / "model")
    SCDual.view_setup_args(tmp_path / "model")
    assert "'batch_key': 'batch'" in capsys.readouterr().out
    assert SCDual.load_registry(tmp_path / "model")["model_name"] == "SCDual"


def test_another_class_cannot_load_the_model(trained: SCDual, tmp_path: Path) -> None:
    class Renamed(SCDual):
        pass

    trained.save(tmp_path / "model")
    with pytest.raises(ValueError, match="loading a model from a different class"):
        Renamed.load(tmp_path / "model", adata=False)
    assert Renamed.load(tmp_path / "model", adata=False, allowed_classes_names_list=["SCDual"]).is_trained


def test_a_model_without_data_reads_what_it_is_given(trained: SCDual, adata: AnnData, tmp_path: Path) -> None:
    trained.save(tmp_path / "model")
    model = SCDual.load(tmp_path / "model", adata=False)
    assert model.adata is None
    assert model.regulators == trained.regulators
    pd.testing.assert_frame_equal(model.get_gene_embedding(), trained.get_gene_embedding())
    np.testing.assert_array_equal(model.get_var_names(), trained.adata.var_names)
    np.testing.assert_array_equal(model.get_regulation(adata).weight, trained.get_regulation().weight)
    model.annotate(adata)
    assert "scdual_regulation" in adata.varp


def test_without_saved_data_a_warning_says_that_there_are_none(trained: SCDual, tmp_path: Path) -> None:
    trained.save(tmp_path / "model")
    with pytest.warns(UserWarning, match="Model will be loaded without anndata"):
        model = SCDual.load(tmp_path / "model")
    assert model.adata is None


NEEDS_DATA = {
    "train": lambda model: model.train(1),
    "get_latent_representation": lambda model: model.get_latent_representation(),
    "annotate": lambda model: model.annotate(),
    "get_elbo": lambda model: model.get_elbo(),
    "view_anndata_setup": lambda model: model.view_anndata_setup(),
    "view_registry": lambda model: model.view_registry(),
    "save": lambda model: model.save("unused", save_anndata=True),
    "data_registry": lambda model: model.data_registry("X"),
}


@pytest.mark.parametrize("use", NEEDS_DATA.values(), ids=NEEDS_DATA)
def test_what_needs_data_says_so(trained: SCDual, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: object) -> None:
    monkeypatch.chdir(tmp_path)
    trained.save("model")
    model = SCDual.load("model", adata=False)
    with pytest.raises(ValueError, match=r"without data|self\.adata is None"):
        use(model)
    model.deregister_manager()
    assert not Path("unused").exists()


def test_a_model_without_data_trains_on_data_set_later(trained: SCDual, adata: AnnData, tmp_path: Path) -> None:
    trained.save(tmp_path / "model")
    model = SCDual.load(tmp_path / "model", adata=False)
    model.adata = adata
    model.train(1)
    assert len(model.history["train_loss"]) == 3
    model.save(tmp_path / "again", save_anndata=True)
    assert SCDual.load(tmp_path / "again").adata.n_obs == 150


@pytest.mark.parametrize("with_data", [True, False])
def test_the_resolved_regulators_are_saved(adata: AnnData, tmp_path: Path, with_data: bool) -> None:
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator")
    model.train(1)
    model.save(tmp_path / "model")
    del adata.var["regulator"]
    loaded = SCDual.load(tmp_path / "model", adata=adata if with_data else False)
    assert loaded.regulators == model.regulators
    assert same_weights(loaded, model)


def test_every_gene_as_regulator_is_saved(adata: AnnData, tmp_path: Path) -> None:
    SCDual.setup_anndata(adata)
    with pytest.warns(UserWarning, match="all 36 genes are used"):
        model = SCDual(adata)
    model.save(tmp_path / "model")
    assert SCDual.load(tmp_path / "model", adata=adata).regulators == model.gene_names  # and no second warning


@pytest.mark.parametrize("columns", [["source", "target", "weight"], ["source", "target"]])
def test_the_prior_is_saved(adata: AnnData, tmp_path: Path, columns: list[str]) -> None:
    SCDual.setup_anndata(adata)
    unknown = pd.DataFrame({"source": ["NOPE"], "target": ["GENE001"], "weight": [8.0]})
    with pytest.warns(UserWarning, match="2 of 3 edges of the prior are used"):
        model = SCDual(adata, regulators="regulator", prior=pd.concat([PRIOR, unknown])[columns])
    model.train(1)
    model.save(tmp_path / "model")
    loaded = SCDual.load(tmp_path / "model", adata=adata)  # a warning would be an error here
    assert same_weights(loaded, model)
    assert int((loaded._new_module().map.prior_strength != 0).sum()) == 2
    np.testing.assert_array_equal(loaded.get_regulation().weight, model.get_regulation().weight)
    loaded.train(1)
    assert "prior_disagreement_train" in loaded.history


def test_every_argument_is_saved(adata: AnnData, tmp_path: Path) -> None:
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators=None, n_latent=3, n_layers=2, gene_likelihood="zinb", n_bins=5, n_embed=32)
    model.save(tmp_path / "model")
    loaded = SCDual.load(tmp_path / "model", adata=False)
    assert same_weights(loaded, model)
    assert loaded.summary_string == model.summary_string
    assert not loaded.is_trained


def test_the_setup_is_saved_with_its_covariates(adata: AnnData, tmp_path: Path) -> None:
    adata.obs["age"] = np.linspace(-1, 1, 150)
    adata.obs["size"] = np.linspace(1, 2, 150)
    SCDual.setup_anndata(
        adata,
        batch_key="batch",
        labels_key="cell_type",
        size_factor_key="size",
        categorical_covariate_keys=["cell_type"],
        continuous_covariate_keys=["age"],
    )
    model = SCDual(adata, regulators="regulator")
    model.train(1)
    model.save(tmp_path / "model", save_anndata=True)
    loaded = SCDual.load(tmp_path / "model")
    assert same_weights(loaded, model)
    np.testing.assert_array_equal(loaded.get_regulation().weight, model.get_regulation().weight)
    assert np.isfinite(float(SCDual.load(tmp_path / "model", adata=False).get_elbo(adata)))


def test_loading_data_with_an_unknown_batch_is_an_error(trained: SCDual, adata: AnnData, tmp_path: Path) -> None:
    trained.save(tmp_path / "model")
    adata.obs["batch"] = adata.obs["batch"].cat.rename_categories({"batch_1": "batch_7"})
    with pytest.raises(ValueError, match=r"unknown to the model, e\.g\. \['batch_7'\]"):
        SCDual.load(tmp_path / "model", adata=adata)
