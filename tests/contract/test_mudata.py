"""What a user of scvi-tools expects of a model of one modality of a MuData."""

from pathlib import Path

import numpy as np
import pytest
import scvi
from mudata import MuData

from scdual.datasets import simulate_mudata
from scdual.model import SCDual

RNA = {"rna_layer": "rna"}
# scvi-tools 1.4 loads MuData with it
pytestmark = pytest.mark.filterwarnings("ignore:The method mod_names is deprecated:FutureWarning")


def make() -> MuData:
    return simulate_mudata(120, 30, n_proteins=5, n_regulators=6, n_batches=2)


@pytest.fixture
def mdata() -> MuData:
    return make()


@pytest.fixture(scope="module")
def trained() -> SCDual:
    """Do not change this model or its data: other tests of the file use them."""
    scvi.settings.seed = 0
    data = make()
    SCDual.setup_mudata(data, batch_key="batch", modalities=RNA)
    model = SCDual(data, regulators="regulator")
    model.train(1)
    return model


def test_a_modality_is_trained_on(trained: SCDual) -> None:
    assert trained.get_latent_representation().shape == (120, trained.module.n_latent)
    assert trained.gene_names == list(trained.adata["rna"].var_names)
    np.testing.assert_array_equal(
        trained.get_from_registry(trained.adata, "X").toarray(), trained.adata["rna"].X.toarray()
    )


@pytest.mark.parametrize(
    ("modalities", "message"),
    [
        ({"rna_layer": "nope"}, "'nope'"),
        ({"rna_layer": "rna", "nope": "rna"}, "'nope'"),
        ({}, "has to name the RNA modality"),
    ],
)
def test_wrong_modalities_are_errors(mdata: MuData, modalities: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SCDual.setup_mudata(mdata, modalities=modalities)


def test_a_view_cannot_be_registered(mdata: MuData) -> None:
    with pytest.raises(ValueError, match=r"copy\(\)"):
        SCDual.setup_mudata(mdata[:50], modalities=RNA)


def test_unpaired_cells_are_an_error(mdata: MuData) -> None:
    unpaired = MuData({"rna": mdata["rna"].copy(), "prot": mdata["prot"][:100].copy()})
    with pytest.raises(ValueError, match="unpaired"):
        SCDual.setup_mudata(unpaired, modalities=RNA)


def test_an_anndata_is_an_error(mdata: MuData) -> None:
    with pytest.raises(TypeError, match="`setup_mudata` expects a MuData but got AnnData"):
        SCDual.setup_mudata(mdata["rna"], modalities=RNA)


def test_without_a_batch_column_there_is_one_batch(mdata: MuData) -> None:
    SCDual.setup_mudata(mdata, modalities=RNA)
    model = SCDual(mdata, regulators="regulator")
    assert model.summary_stats.n_batch == 1
    assert (mdata.obs["_scvi_batch"] == 0).all()


def test_batches_with_gaps_are_an_error(mdata: MuData) -> None:
    mdata.obs["batch"] = ["a", None, "b"] * 40
    with pytest.raises(ValueError, match="'batch' of `obs` has no value for 40 of 120 cells"):
        SCDual.setup_mudata(mdata, batch_key="batch", modalities=RNA)


@pytest.mark.parametrize("with_data", [True, False])
def test_a_saved_model_is_the_same(trained: SCDual, mdata: MuData, tmp_path: Path, with_data: bool) -> None:
    trained.save(tmp_path / "model", save_anndata=with_data)
    loaded = SCDual.load(tmp_path / "model", adata=None if with_data else mdata)
    np.testing.assert_array_equal(loaded.get_latent_representation(), trained.get_latent_representation())
    np.testing.assert_array_equal(loaded.get_regulation().weight, trained.get_regulation().weight)


def test_names_are_given_by_modality(trained: SCDual) -> None:
    names = trained.get_var_names()
    assert list(names["rna"]) == trained.gene_names
    assert list(names["prot"]) == list(trained.adata["prot"].var_names)


def test_genes_in_another_order_are_an_error(trained: SCDual, mdata: MuData) -> None:
    other = MuData({"rna": mdata["rna"][:, ::-1].copy(), "prot": mdata["prot"].copy()})
    other.obs = mdata.obs.copy()
    with pytest.raises(ValueError, match="in another order"):
        trained.get_latent_representation(other)
