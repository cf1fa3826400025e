"""A report says of a file what the model that wrote it says, and names what the file does not hold."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import scvi
from anndata import AnnData

from scdual import datasets, tl
from scdual.cli.report import _pictures, new_report, render
from scdual.cli.report._networks import MIN_SUPPORT, N_DRAWN, N_STRONG, N_TARGETS
from scdual.model import SCDual


@pytest.fixture(autouse=True)
def _no_umap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pictures, "_LEAST_FOR_UMAP", 10_000)


@pytest.fixture(scope="module")
def model() -> SCDual:
    scvi.settings.seed = 0
    adata = datasets.simulate(150, 36, n_regulators=6, n_batches=2, library_size=2_000)
    adata.layers["counts"], adata.X = adata.X.copy(), None
    SCDual.setup_anndata(adata, layer="counts", batch_key="batch")
    model = SCDual(adata, regulators="regulator")
    model.train(2, accelerator="cpu")
    model.annotate(groupby=["cell_type", "batch"])
    return model


@pytest.fixture(scope="module")
def path(model: SCDual, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "out.h5ad"
    model.adata.write_h5ad(path)
    return path


@pytest.fixture
def adata(path: Path) -> AnnData:
    return anndata.read_h5ad(path)


def test_edges_of_every_network_carry_the_evidence_of_the_model(model: SCDual, adata: AnnData, path: Path) -> None:
    parts = new_report(adata, path).networks
    expected = {"all cells": model.get_regulation(), **model.get_regulation(groupby=["cell_type", "batch"])}
    assert {part.name for part in parts} == set(expected)
    assert len(parts) == 11
    sizes = model.adata.obs.groupby(["cell_type", "batch"], observed=True).size()
    n_cells = {"all cells": 150} | {" | ".join(names): size for names, size in sizes.items()}
    for part in parts:
        edges = expected[part.name].to_frame(N_DRAWN).drop(columns="q_value")
        found = pd.DataFrame(part.drawn, columns=list(edges)).astype({"n_cells": int})
        pd.testing.assert_frame_equal(found, edges, check_dtype=False, atol=1e-4, rtol=0)
        assert part.n_cells == n_cells[part.name]


def test_regulators_are_ranked_by_strong_and_sure_edges(model: SCDual, adata: AnnData, path: Path) -> None:
    part = new_report(adata, path).networks[0]
    network = model.get_regulation()
    ranking = tl.rank_regulators(network.supported(MIN_SUPPORT).top(N_STRONG))
    assert part.n_sure == network.supported(MIN_SUPPORT).n_edges > 0
    assert [regulator.name for regulator in part.regulators] == list(ranking.index[ranking["strength"] > 0])
    first = part.regulators[0]
    assert first.strength == pytest.approx(ranking["strength"].iloc[0])
    assert first.n_cells == int((model.adata[:, first.name].layers["counts"] > 0).sum())
    assert all(support >= MIN_SUPPORT for *_, support, _ in first.edges)
    weight = np.array([edge[2] for edge in first.edges])
    assert (np.diff(np.sign(weight)) <= 0).all()  # those that activate first
    assert max((weight > 0).sum(), (weight < 0).sum()) <= N_TARGETS


def test_losses_parameters_and_activities_are_there(model: SCDual, adata: AnnData, path: Path) -> None:
    report = new_report(adata, path)
    assert report.losses.startswith("data:image/png;base64,")
    assert report.losses_note == ""
    assert report.parameters["setup.batch_key"] == "batch"
    assert "versions.torch" in report.parameters
    assert not [name for name in report.parameters if name.startswith(("history", "run"))]
    assert [picture.title for picture in report.cells] == ["cell_type", "batch"]
    strong = model.get_regulation().supported(MIN_SUPPORT).top(N_STRONG)
    activity = tl.regulator_activity(model.adata, strong, layer="counts")
    assert set(report.activity_regulators) <= set(activity)
    name, cells = report.activity_rows[0]
    is_in = (model.adata.obs["cell_type"].astype(str) + " | " + model.adata.obs["batch"].astype(str)) == name
    assert cells[0][0] == f"{activity.loc[is_in, report.activity_regulators[0]].mean():.1f}"


def test_activities_in_the_file_are_shown_as_they_are(adata: AnnData, path: Path) -> None:
    adata.obsm["scdual_activity"] = pd.DataFrame({"REG00": np.arange(150.0)}, adata.obs_names)
    report = new_report(adata, path)
    assert report.activity_regulators == ["REG00"]
    assert "obsm['scdual_activity'] of the file" in report.activity_note
    assert report.activities[0].legend[1][1] == "146"  # 98 % of 149


def test_cells_with_both_are_unknown_where_the_counts_are_others(adata: AnnData, path: Path) -> None:
    part = new_report(adata[:100].copy(), path).networks[0]
    assert {edge[-1] for edge in part.drawn} == {None}
    assert part.regulators[0].n_cells is None
    del adata.layers["counts"]
    assert {edge[-1] for edge in new_report(adata, path).networks[0].drawn} == {None}


def test_what_the_file_lacks_is_named(adata: AnnData, path: Path) -> None:
    del adata.obsm["X_scdual"], adata.layers["counts"], adata.uns["scdual"]["history"], adata.obs["cell_type"]
    report = new_report(adata, path)
    assert (report.cells, report.activities, report.losses, report.activity_rows) == ([], [], "", [])
    assert report.cells_note == "This file has no embedding: its obsm lacks X_scdual."
    assert report.losses_note.startswith("This file has no losses")
    assert report.activity_note.startswith("There are no activities: Layer 'counts' is not in")
    assert report.networks_note.startswith("Which cells are in which group is not known: `groupby='cell_type'`")
    assert {part.n_cells for part in report.networks[1:]} == {None}


@pytest.mark.parametrize("about", [None, "text", {}, {"setup": 3, "history": [1.0], "groupby": 7}])
def test_parameters_of_another_kind_do_not_matter(adata: AnnData, path: Path, about: object) -> None:
    adata.uns["scdual"] = about
    if about is None:
        del adata.uns["scdual"]
    report = new_report(adata, path)
    assert len(report.networks) == 11
    assert report.losses == ""


def test_a_network_without_evidence_has_none_in_the_report(adata: AnnData, path: Path) -> None:
    for key in [key for key in adata.varp if key.startswith(("scdual_sd", "scdual_support"))]:
        del adata.varp[key]
    part = new_report(adata, path).networks[0]
    assert part.n_sure is None
    assert part.regulators
    assert {edge[3:5] for edge in part.drawn} == {(None, None)}


def test_a_map_without_edges_is_no_error(adata: AnnData, path: Path) -> None:
    for key in [key for key in adata.varp if key.startswith("scdual_")]:
        adata.varp[key] = adata.varp[key] * 0
    report = new_report(adata, path)
    assert report.networks[0].regulators == report.networks[0].drawn == []
    assert report.activity_note.startswith("There are no activities:")


@pytest.mark.parametrize("value", [np.nan, np.inf, "a"])
def test_an_embedding_that_holds_no_numbers_is_an_error(adata: AnnData, path: Path, value: object) -> None:
    adata.obsm["X_scdual"] = np.full((adata.n_obs, 3), value)
    with pytest.raises(ValueError, match=r"obsm\['X_scdual'\] holds other things than finite numbers"):
        new_report(adata, path)


def test_weights_that_a_prior_multiplies_are_called_ranks(adata: AnnData, path: Path) -> None:
    said = "what it says multiplies the weights"
    assert said not in render(new_report(adata, path))
    adata.uns["scdual"] = {**adata.uns["scdual"], "prior": "0123"}
    assert said in render(new_report(adata, path))
