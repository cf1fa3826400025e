from pathlib import Path
from typing import Any

import mudata
import numpy as np
import pandas as pd
import pytest
import scvi
from anndata import AnnData
from mudata import MuData

from scdual.datasets import simulate_mudata
from scdual.model import SCDual

# scvi-tools 1.4 loads MuData with it
pytestmark = pytest.mark.filterwarnings("ignore:The method mod_names is deprecated:FutureWarning")


def make(n_obs: int = 120) -> MuData:
    return simulate_mudata(n_obs, 30, n_proteins=5, n_regulators=6, n_batches=2)


@pytest.fixture
def mdata() -> MuData:
    return make()


@pytest.fixture(scope="module")
def model() -> SCDual:
    """Do not change this model or its data: other tests of the file use them."""
    scvi.settings.seed = 0
    data = make()
    SCDual.setup_mudata(data, batch_key="batch", modalities={"rna_layer": "rna"})
    model = SCDual(data, regulators="regulator")
    model.train(1)
    return model


def test_the_rna_modality_trains_like_the_same_anndata(model: SCDual) -> None:
    rna = make()["rna"].copy()
    scvi.settings.seed = 0
    SCDual.setup_anndata(rna, batch_key="batch")
    alone = SCDual(rna, regulators="regulator")
    alone.train(1)
    assert model.gene_names == list(rna.var_names)
    np.testing.assert_allclose(model.get_latent_representation(), alone.get_latent_representation(), atol=1e-3)
    np.testing.assert_allclose(model.get_regulation().weight, alone.get_regulation().weight, atol=1e-3)


@pytest.mark.parametrize("level", ["top", "rna"])
def test_covariates_are_found_on_either_level(mdata: MuData, level: str) -> None:
    obs = mdata["rna"].obs if level == "rna" else mdata.obs
    obs["run"] = ["a", "b", "c"] * 40
    obs["age"] = np.linspace(-1, 1, 120)
    obs["size"] = np.linspace(1, 2, 120)
    keys = {
        "batch_key": "run",
        "size_factor_key": "size",
        "categorical_covariate_keys": ["run"],
        "continuous_covariate_keys": ["age"],
    }
    SCDual.setup_mudata(
        mdata, **keys, modalities={"rna_layer": "rna"} | (dict.fromkeys(keys, "rna") if level == "rna" else {})
    )
    model = SCDual(mdata, regulators="regulator")
    assert model.summary_stats.n_batch == 3
    model.train(1)
    assert np.isfinite(float(model.get_elbo()))


def test_counts_may_lie_in_a_layer(mdata: MuData) -> None:
    mdata["rna"].layers["counts"] = mdata["rna"].X.copy()
    mdata["rna"].X = mdata["rna"].X * 0
    SCDual.setup_mudata(mdata, rna_layer="counts", modalities={"rna_layer": "rna"})
    model = SCDual(mdata, regulators="regulator")
    counts = next(iter(model._make_data_loader(mdata, batch_size=120)))["X"]
    np.testing.assert_array_equal(counts, mdata["rna"].layers["counts"].toarray())


@pytest.mark.parametrize(
    ("modalities", "problem"),
    [
        (None, r"has to name the RNA modality among \['rna', 'prot'\]"),
        ({"batch_key": "rna"}, "has to name the RNA modality"),
        ("rna", "`modalities` is 'rna', but it has to name the RNA modality"),
        ({"rna_layer": None}, "has to name the RNA modality"),
        ({"rna_layer": "gex"}, r"`modalities\[\"rna_layer\"\]` is 'gex', expected one of \['rna', 'prot', None\]"),
        ({"rna_layer": ["rna"]}, r"`modalities\[\"rna_layer\"\]` is \['rna'\], expected one of"),
        ({"rna_layer": "rna", "batch": "rna"}, "`argument in modalities` is 'batch', .* Did you mean 'batch_key'"),
    ],
)
def test_wrong_modalities_are_errors(mdata: MuData, modalities: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        SCDual.setup_mudata(mdata, modalities=modalities)


def test_each_kind_of_data_has_its_setup(mdata: MuData) -> None:
    with pytest.raises(TypeError, match="expects a MuData but got AnnData; use `setup_anndata`"):
        SCDual.setup_mudata(mdata["rna"], modalities={"rna_layer": "rna"})
    with pytest.raises(TypeError, match="expects an AnnData but got MuData; use `setup_mudata`"):
        SCDual.setup_anndata(mdata)


def test_views_and_unpaired_cells_are_errors(mdata: MuData) -> None:
    with pytest.raises(ValueError, match="copy"):
        SCDual.setup_mudata(mdata[:50], modalities={"rna_layer": "rna"})
    unpaired = MuData({"rna": mdata["rna"].copy(), "prot": mdata["prot"][:100].copy()})
    with pytest.raises(ValueError, match="unpaired observations in modality prot"):
        SCDual.setup_mudata(unpaired, modalities={"rna_layer": "rna"})


def test_a_missing_column_is_named(mdata: MuData) -> None:
    with pytest.raises(KeyError, match="nope"):
        SCDual.setup_mudata(mdata, batch_key="nope", modalities={"rna_layer": "rna"})


def test_proteins_are_ignored_with_a_warning(mdata: MuData) -> None:
    with pytest.warns(UserWarning, match="Proteins are not modelled yet"):
        SCDual.setup_mudata(mdata, modalities={"rna_layer": "rna", "protein_layer": "prot"})
    assert SCDual(mdata, regulators="regulator").module.n_input == 30


def test_results_go_to_the_top_and_to_the_rna_modality(mdata: MuData) -> None:
    SCDual.setup_mudata(mdata, modalities={"rna_layer": "rna"})
    model = SCDual(mdata, regulators="regulator")
    model.train(1)
    model.annotate(groupby="cell_type")
    rna = mdata["rna"]
    assert mdata.obsm["X_scdual"].shape == (120, model.module.n_latent)
    assert mdata.uns["scdual"]["groupby"] == "cell_type"
    expected = {"scdual_regulation", "scdual_attention", "scdual_gate"}
    expected |= {f"scdual_regulation_type_{number}" for number in range(1, 6)}
    assert expected <= set(rna.varp)
    assert rna.varp["scdual_regulation"].shape == (30, 30)
    assert rna.varm["scdual_gene_embedding"].shape[0] == 30
    assert list(rna.var_names[rna.var["scdual_regulator"]]) == model.regulators
    assert "X_scdual" not in rna.obsm
    assert not set(expected) & set(mdata["prot"].varp)


def test_annotations_survive_a_file(mdata: MuData, tmp_path: Path) -> None:
    SCDual.setup_mudata(mdata, batch_key="batch", modalities={"rna_layer": "rna"})
    model = SCDual(mdata, regulators="regulator")
    model.train(1)
    model.annotate()
    mdata.write(tmp_path / "cells.h5mu")
    read = mudata.read(tmp_path / "cells.h5mu")
    np.testing.assert_array_equal(read.obsm["X_scdual"], mdata.obsm["X_scdual"])
    for key in ("scdual_regulation", "scdual_attention", "scdual_gate"):
        assert (read["rna"].varp[key] != mdata["rna"].varp[key]).nnz == 0
    np.testing.assert_array_equal(read["rna"].varm["scdual_gene_embedding"], model.get_gene_embedding())
    pd.testing.assert_series_equal(read["rna"].var["scdual_regulator"], mdata["rna"].var["scdual_regulator"])
    assert read.uns["scdual"]["setup"]["batch_key"] == "batch"


def test_new_data_need_the_same_genes(model: SCDual, mdata: MuData) -> None:
    np.testing.assert_allclose(model.get_latent_representation(mdata), model.get_latent_representation(), atol=1e-5)
    shuffled = MuData({"rna": mdata["rna"][:, ::-1].copy(), "prot": mdata["prot"].copy()})
    shuffled.obs = mdata.obs.copy()
    with pytest.raises(ValueError, match="in another order"):
        model.get_regulation(shuffled)


def test_names_are_known_per_modality(model: SCDual) -> None:
    names = model.get_var_names()
    np.testing.assert_array_equal(names["rna"], model.gene_names)
    assert len(names["prot"]) == 5


def test_saved_data_are_loaded_with_the_model(model: SCDual, tmp_path: Path) -> None:
    model.save(tmp_path / "model", save_anndata=True)
    loaded = SCDual.load(tmp_path / "model")
    assert isinstance(loaded.adata, MuData)
    np.testing.assert_array_equal(loaded.get_latent_representation(), model.get_latent_representation())
    np.testing.assert_array_equal(loaded.get_regulation().weight, model.get_regulation().weight)


def test_a_model_without_data_takes_mudata(model: SCDual, mdata: MuData, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    loaded = SCDual.load(tmp_path / "model", adata=False)
    assert loaded.regulators == model.regulators
    np.testing.assert_array_equal(loaded.get_regulation(mdata).weight, model.get_regulation().weight)
    loaded.annotate(mdata)
    assert "scdual_regulation" in mdata["rna"].varp


def test_other_data_can_be_set_and_saved(mdata: MuData, tmp_path: Path) -> None:
    SCDual.setup_mudata(mdata, batch_key="batch", modalities={"rna_layer": "rna"})
    model = SCDual(mdata, regulators="regulator")
    model.train(1)
    model.adata = make(60)
    latent = model.get_latent_representation()
    model.save(tmp_path / "model", save_anndata=True)
    loaded = SCDual.load(tmp_path / "model")
    assert isinstance(loaded.adata, MuData)
    assert loaded.adata.n_obs == 60
    np.testing.assert_array_equal(loaded.get_latent_representation(), latent)
    loaded.train(1)


def test_printing_and_reading_methods_work(model: SCDual, capsys: pytest.CaptureFixture[str]) -> None:
    model.view_anndata_setup()
    assert "rna" in capsys.readouterr().out
    assert model.get_reconstruction_error()["reconstruction_loss"].ndim == 0
    assert isinstance(model.get_from_registry(model.adata, "batch"), np.ndarray)
    assert not isinstance(model.adata, AnnData)


def test_the_other_kind_of_data_is_refused_and_the_old_stay(model: SCDual, mdata: MuData, tmp_path: Path) -> None:
    adata = mdata["rna"].copy()
    other_adata = adata.copy()
    SCDual.setup_anndata(adata)
    of_anndata = SCDual(adata, regulators="regulator")
    of_anndata.is_trained_ = True
    model.save(tmp_path / "mudata")
    of_anndata.save(tmp_path / "anndata")
    cases = [
        (model, "mudata", other_adata, "is AnnData, but the model was set up with MuData, by `SCDual.setup_mudata`"),
        (of_anndata, "anndata", mdata, r"is MuData, but the model was set up with AnnData.* `mdata.mod\['rna'\]`"),
    ]
    for each, folder, wrong, said in cases:
        old = each.adata
        without = SCDual.load(tmp_path / folder, adata=False)
        for use in (
            lambda each=each, wrong=wrong: each.get_latent_representation(wrong),
            lambda without=without, wrong=wrong: without.get_latent_representation(wrong),
            lambda each=each, wrong=wrong: setattr(each, "adata", wrong),
            lambda folder=folder, wrong=wrong: SCDual.load(tmp_path / folder, wrong),
            lambda each=each, wrong=wrong: SCDual.load_query_data(wrong, each),
        ):
            with pytest.raises(TypeError, match=said):
                use()
        with pytest.raises(TypeError, match="`adata` is int"):
            each.adata = 3
        assert each.adata is old


def test_a_change_of_the_data_names_the_set_up_of_their_kind(mdata: MuData) -> None:
    SCDual.setup_mudata(mdata, modalities={"rna_layer": "rna"})
    model = SCDual(mdata, regulators="regulator")
    mdata["rna"].X = mdata["rna"].X * 2
    with pytest.raises(ValueError, match="call `SCDual.setup_mudata` again"):
        model.train(1)


def test_a_misspelt_argument_of_a_set_up_gets_the_nearest(mdata: MuData) -> None:
    with pytest.raises(TypeError, match="`setup_anndata` has no argument `batchkey`. Did you mean 'batch_key'"):
        SCDual.setup_anndata(mdata["rna"].copy(), batchkey="batch")
    with pytest.raises(TypeError, match="`setup_mudata` has no argument `label_key`. Did you mean 'labels_key'"):
        SCDual.setup_mudata(mdata, modalities={"rna_layer": "rna"}, label_key="x")
    with pytest.raises(TypeError, match="`extend_categories` has no effect without `source_registry`"):
        SCDual.setup_mudata(mdata, modalities={"rna_layer": "rna"}, extend_categories=True)
