"""Results of a run replace those of an older run as a whole, and a failure changes nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import scvi
from anndata import AnnData
from scipy.sparse import issparse

from scdual._constants import evidence_key, group_of, regulation_key
from scdual.datasets import simulate, simulate_mudata
from scdual.grn import RegulatoryNetwork, from_varp
from scdual.model import SCDual
from scdual.model._results import Results, replace_results


@pytest.fixture(scope="module")
def model() -> SCDual:
    scvi.settings.seed = 0
    data = simulate(150, 36, n_regulators=6, n_batches=2)
    SCDual.setup_anndata(data, batch_key="batch")
    model = SCDual(data, regulators="regulator", n_hidden=16)
    model.train(1, enable_progress_bar=False)
    return model


@pytest.fixture
def adata(model: SCDual) -> AnnData:
    data = simulate(150, 36, n_regulators=6, n_batches=2)
    model.get_latent_representation(data)  # the bookkeeping of scvi-tools
    return data


def groups_of(adata: AnnData) -> set[str]:
    return {group_of(key) for key in adata.varp} - {None}


def test_groups_of_an_older_run_are_gone(model: SCDual, adata: AnnData) -> None:
    adata.varp["scdual_regulation_left"] = adata.varp["true_regulation"]
    for key in ("scdual_sd", "scdual_support", "scdual_sd_left", "scdual_support_left"):
        adata.varp[key] = adata.varp["true_regulation"]
    adata.varp["mine"] = adata.varp["true_regulation"]
    model.annotate(adata, groupby="cell_type")
    assert groups_of(adata) == set(model.get_regulation(adata, groupby="cell_type"))
    model.annotate(adata, groupby="batch")
    assert groups_of(adata) == {"batch_1", "batch_2"}
    evidence = {f"scdual_{name}{group}" for name in ("sd", "support") for group in ("", "_batch_1", "_batch_2")}
    assert {key for key in adata.varp if key.startswith(("scdual_sd", "scdual_support"))} == evidence
    assert set(adata.uns["scdual"]["groups"].values()) == {"batch_1", "batch_2"}
    model.annotate(adata)
    assert groups_of(adata) == set()
    assert "groups" not in adata.uns["scdual"]
    assert not any(key.startswith(("scdual_sd_", "scdual_support_")) for key in adata.varp)
    assert {"mine", "true_regulation"} <= set(adata.varp)


def same_but_for_q_values(found: RegulatoryNetwork, expected: RegulatoryNetwork) -> bool:
    table = expected.to_frame()[list(found.to_frame())]
    pd.testing.assert_frame_equal(found.to_frame(), table, check_exact=False, atol=1e-6, check_dtype=False)
    return list(table) == ["source", "target", "weight", "sd", "support"]


def test_evidence_stands_beside_the_map_of_all_cells_and_of_each_group(
    model: SCDual, adata: AnnData, tmp_path: Path
) -> None:
    adata.obs["kind"] = pd.Categorical(np.resize(["A/B", "sd", "regulation_A"], adata.n_obs))
    model.annotate(adata, groupby="kind")
    expected = {regulation_key(name): found for name, found in model.get_regulation(adata, groupby="kind").items()}
    expected["scdual_regulation"] = model.get_regulation(adata)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    read = anndata.read_h5ad(tmp_path / "cells.h5ad")
    for key, network in expected.items():
        sd, support = (read.varp[evidence_key(key, name)] for name in ("sd", "support"))
        for matrix in (sd, support):
            assert matrix.dtype == np.float32
            np.testing.assert_array_equal(matrix.indices, read.varp[key].indices)
            np.testing.assert_array_equal(matrix.indptr, read.varp[key].indptr)
        assert same_but_for_q_values(from_varp(read.varp[key], read.var_names, sd=sd, support=support), network)
    assert {"scdual_sd_A%2FB", "scdual_support_sd", "scdual_sd_regulation_A"} <= set(read.varp)


def test_nothing_of_an_older_run_is_left_in_any_room(model: SCDual, adata: AnnData) -> None:
    model.annotate(adata, groupby="cell_type")
    replace_results(adata, adata, Results(obsm={}, uns={}, varp={}, varm={}, var={}))
    rooms = (adata.obsm, adata.uns, adata.varp, adata.varm, adata.var)
    assert [key for room in rooms for key in room if key.startswith("scdual")] == []


def test_genes_know_how_many_cells_express_them(model: SCDual, adata: AnnData) -> None:
    part = adata[:40].copy()
    model.annotate(part)
    counts = part.X.toarray() if issparse(part.X) else part.X
    np.testing.assert_array_equal(part.var["scdual_n_cells"], [sum(row > 0) for row in counts.T])
    assert 0 < part.var["scdual_n_cells"].min() < part.var["scdual_n_cells"].max() <= 40


@pytest.mark.filterwarnings("ignore:Writing zarr v2 data")
def test_groups_with_odd_names_keep_their_own_maps_in_a_file(model: SCDual, adata: AnnData, tmp_path: Path) -> None:
    names = ["A/B", "A|B", "A%2FB", "back\\slash", " x ", "β"]
    adata.obs["kind"] = pd.Categorical(np.resize(names, adata.n_obs))
    model.annotate(adata, groupby="kind")
    expected = model.get_regulation(adata, groupby="kind")
    adata.write_h5ad(tmp_path / "cells.h5ad")
    adata.write_zarr(tmp_path / "cells.zarr")
    for read in (anndata.read_h5ad(tmp_path / "cells.h5ad"), anndata.read_zarr(tmp_path / "cells.zarr")):
        key_of = {name: key for key, name in read.uns["scdual"]["groups"].items()}
        assert set(key_of) == set(names)
        for name in names:
            assert key_of[name] == regulation_key(name)
            found = read.varp[key_of[name]].toarray()
            np.testing.assert_allclose(found, expected[name].to_varp(read.var_names).toarray(), atol=1e-6)


def test_two_columns_make_groups(model: SCDual, adata: AnnData) -> None:
    adata.obs["both"] = adata.obs["cell_type"].astype(str) + " and " + adata.obs["batch"].astype(str)
    counts = adata.obs["both"].value_counts()
    adata = adata[adata.obs["both"].isin(counts.index[counts > 1])].copy()
    joined = model.get_regulation(adata, groupby=["cell_type", "batch"])
    alone = model.get_regulation(adata, groupby="both")
    assert [name.replace(" | ", " and ") for name in joined] == list(alone)
    for one, other in zip(joined.values(), alone.values(), strict=True):
        np.testing.assert_allclose(one.weight, other.weight, atol=1e-6)
    model.annotate(adata, groupby=["cell_type", "batch"])
    assert adata.uns["scdual"]["groupby"] == ["cell_type", "batch"]
    assert groups_of(adata) == set(joined)


def test_a_single_cell_gets_no_map(model: SCDual, adata: AnnData) -> None:
    adata.obs["kind"] = pd.Categorical(["alone", *["many"] * 149])
    with pytest.warns(UserWarning, match=r"single cell.*\['alone'\]"):
        model.annotate(adata, groupby="kind")
    assert groups_of(adata) == {"many"}


@pytest.mark.parametrize("place", ["uns", "varm", "var"])
def test_a_failure_while_writing_puts_everything_back(
    model: SCDual, adata: AnnData, contents: Callable[[Any], Any], place: str
) -> None:
    model.annotate(adata, groupby="cell_type")
    before = contents(adata)
    good = {"obsm": {"X_scdual": np.zeros((150, 2))}, "uns": {"scdual": {}}, "varp": {}, "varm": {}, "var": {}}
    bad: dict[str, Any] = {
        "uns": Failing(),
        "varm": {"scdual_gene_embedding": np.zeros((3, 2))},
        "var": {"scdual_regulator": [1]},
    }
    with pytest.raises((ValueError, RuntimeError)):
        replace_results(adata, adata, Results(**(good | {place: bad[place]})))
    assert contents(adata) == before


class Failing(dict):
    """Results that cannot be read."""

    def keys(self) -> Any:
        raise RuntimeError


@pytest.mark.parametrize("method", ["get_latent_representation", "get_gene_embedding", "_var_table"])
def test_a_failure_while_computing_changes_nothing(
    model: SCDual, adata: AnnData, contents: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    model.annotate(adata)
    before = contents(adata)

    def fail(*args: object, **kwargs: object) -> None:
        raise MemoryError

    monkeypatch.setattr(model, method, fail)
    with pytest.raises(MemoryError):
        model.annotate(adata, groupby="batch")
    assert contents(adata) == before


def test_results_in_mudata_are_replaced_at_both_levels(contents: Callable[[Any], Any]) -> None:
    scvi.settings.seed = 0
    mdata = simulate_mudata(100, 30)
    mdata.obs["half"] = np.repeat(["first", "second"], 50)
    SCDual.setup_mudata(mdata, modalities={"rna_layer": "rna"})
    model = SCDual(mdata, regulators=None, n_hidden=8)
    model.train(1, enable_progress_bar=False)
    rna = mdata["rna"]
    rna.obsm["X_scdual"], rna.uns["scdual"] = np.zeros((100, 2)), {"groups": {}}  # as of the modality alone
    model.annotate(groupby="half")
    assert groups_of(rna) == {"first", "second"}
    assert {"scdual_sd", "scdual_support", "scdual_sd_first", "scdual_support_second"} <= set(rna.varp)
    assert not {"scdual_sd", "scdual_support"} & set(mdata.varp)
    np.testing.assert_array_equal(rna.var["scdual_n_cells"], np.asarray((rna.X > 0).sum(axis=0)).ravel())
    assert "X_scdual" not in rna.obsm
    assert "scdual" not in rna.uns
    before = contents(mdata)
    wrong = Results(obsm={}, uns={}, varp={}, varm={"scdual_gene_embedding": np.zeros((3, 2))}, var={})
    with pytest.raises(ValueError, match="scdual_gene_embedding"):
        replace_results(mdata, rna, wrong)
    assert contents(mdata) == before
    model.annotate()
    assert groups_of(rna) == set()
    assert mdata.obsm["X_scdual"].shape[0] == 100
