"""What is written of a map of many genes: only edges of some support, and whoever reads them finds the same network."""

from pathlib import Path

import anndata
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.sparse import csr_matrix
from typer.testing import CliRunner

from scdual import pl, tl
from scdual.cli._app import app
from scdual.datasets import simulate
from scdual.grn import RegulatoryNetwork, from_varp
from scdual.model import SCDual, _annotate

KEYS = ("scdual_regulation", "scdual_sd", "scdual_support", "scdual_attention", "scdual_gate")
CUT = 0.9


@pytest.fixture
def adata(trained: SCDual) -> AnnData:
    data = simulate(150, 36, n_regulators=6, n_batches=2)
    trained.get_latent_representation(data)  # the bookkeeping of scvi-tools
    return data


def pairs(matrix: csr_matrix) -> set[tuple[int, int]]:
    return set(zip(*(part.tolist() for part in matrix.nonzero()), strict=True))


def test_only_edges_of_that_support_are_written(trained: SCDual, adata: AnnData) -> None:
    trained.annotate(adata)
    whole = {key: adata.varp[key].copy() for key in KEYS}
    assert "min_support" not in adata.uns["scdual"]
    trained.annotate(adata, min_support=CUT)
    expected = pairs(whole["scdual_support"] >= CUT)
    assert 0 < len(expected) < whole["scdual_regulation"].nnz
    for key in KEYS:
        assert pairs(adata.varp[key]) == expected, key
        row, column = np.array(sorted(expected)).T
        np.testing.assert_array_equal(adata.varp[key][row, column], whole[key][row, column], err_msg=key)
        assert adata.varp[key].dtype == np.float32
    assert adata.uns["scdual"]["min_support"] == CUT
    assert set(adata.varp) - {"true_regulation"} == set(KEYS)


def test_maps_of_groups_are_cut_alike(trained: SCDual, adata: AnnData) -> None:
    trained.annotate(adata, groupby="batch", min_support=CUT)
    for name, network in trained.get_regulation(adata, groupby="batch").items():
        found = adata.varp[f"scdual_regulation_{name}"]
        expected = network.supported(CUT).to_varp(adata.var_names)
        assert 0 < expected.nnz < network.n_edges
        np.testing.assert_allclose(found.toarray(), expected.toarray(), rtol=1e-5)


def test_groups_without_a_map_are_left_out_with_a_warning(trained: SCDual, adata: AnnData) -> None:
    counts = adata.X.toarray()
    counts[:20] = counts[0]  # nothing varies
    adata.X = csr_matrix(counts)
    adata.obs["kind"] = pd.Categorical(np.where(np.arange(150) < 20, "still", "other"))
    with pytest.warns(UserWarning, match="1 of 2 groups have no map .*'still'"):
        trained.annotate(adata, groupby="kind")
    assert list(adata.uns["scdual"]["groups"].values()) == ["other"]


def test_no_two_maps_are_held_at_a_time(trained: SCDual, adata: AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    monkeypatch.setattr(
        _annotate, "network_matrices", lambda networks, _: held.append(len(networks)) or dict.fromkeys(networks)
    )
    monkeypatch.setattr(_annotate, "replace_results", lambda *_: None)
    trained.annotate(adata, groupby="batch")
    assert held == [1] * 5  # two groups, regulation, attention, gate


def test_every_reader_finds_the_same_network_in_the_file(trained: SCDual, adata: AnnData, tmp_path: Path) -> None:
    trained.annotate(adata, min_support=CUT)
    adata.write_h5ad(tmp_path / "cells.h5ad", compression="gzip")
    read = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    varp = read.varp
    found = from_varp(varp["scdual_regulation"], read.var_names, sd=varp["scdual_sd"], support=varp["scdual_support"])
    expected = trained.get_regulation().supported(CUT)
    table = expected.to_frame()[["source", "target", "weight", "sd", "support"]]
    pd.testing.assert_frame_equal(found.to_frame(), table, check_dtype=False)
    result = CliRunner().invoke(app, ["edges", str(tmp_path / "cells.h5ad"), "-o", str(tmp_path / "edges.csv")])
    assert result.exit_code == 0, result.output
    by_command = pd.read_csv(tmp_path / "edges.csv")
    pd.testing.assert_frame_equal(by_command, table.reset_index(drop=True), check_dtype=False, rtol=1e-6)
    _check_tools(found, expected)


def _check_tools(found: RegulatoryNetwork, expected: RegulatoryNetwork) -> None:
    """Analysis and figures give the same of what was read as of what was written."""
    strongest = tl.rank_regulators(expected)
    strongest = strongest[strongest["strength"] > 0]
    pd.testing.assert_frame_equal(tl.rank_regulators(found), strongest, check_dtype=False)
    regulons = tl.regulons(found)
    pd.testing.assert_frame_equal(regulons, tl.regulons(expected)[list(regulons)], check_dtype=False)
    for draw in (pl.network_graph, pl.regulation_heatmap, pl.regulator_ranking):
        draw(found)
        plt.close("all")
