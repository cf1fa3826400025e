"""Activities are the t values of straight lines through the genes of a cell, and nothing in the data changes."""

import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData
from scipy.sparse import csc_matrix, csr_array, csr_matrix
from scipy.stats import linregress

from scdual.grn import RegulatoryNetwork
from scdual.tl import regulator_activity

GENES = [f"g{i:02d}" for i in range(30)]
CELLS = [f"cell{i}" for i in range(8)]


@pytest.fixture
def network() -> RegulatoryNetwork:
    """Return regulators with about 12, 12 and 3 targets; the last two targets are not in the data."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(3, 32)) * (rng.random((3, 32)) < 0.4)
    weight[2, 3:] = 0
    weight[2, :3] = 1
    return RegulatoryNetwork(weight, ["TF2", "TF1", "few"], [*GENES, "absent1", "absent2"])


@pytest.fixture
def adata() -> AnnData:
    """Return counts with one empty gene."""
    counts = np.random.default_rng(1).poisson(2.0, (len(CELLS), len(GENES))).astype(np.float32)
    counts[:, 7] = 0
    return AnnData(csr_matrix(counts), obs=pd.DataFrame(index=CELLS), var=pd.DataFrame(index=GENES))


def log_values(adata: AnnData) -> pd.DataFrame:
    """Return log-normalised values as scanpy makes them."""
    copy = adata.copy()
    sc.pp.normalize_total(copy)
    sc.pp.log1p(copy)
    return copy.to_df()


def t_values(values: pd.DataFrame, network: RegulatoryNetwork, regulators: list[str]) -> pd.DataFrame:
    """Fit one line per cell and regulator through the genes that any cell expresses."""
    values = values.loc[:, (values != 0).any()]
    weight = pd.DataFrame(network.weight, network.regulators, network.targets).astype(float)
    weight = weight.reindex(columns=values.columns, fill_value=0)
    fits = {name: [linregress(weight.loc[name], row) for row in values.to_numpy(dtype=float)] for name in regulators}
    return pd.DataFrame({name: [fit.slope / fit.stderr for fit in line] for name, line in fits.items()}, values.index)


def test_agrees_with_linear_regression_on_counts(adata: AnnData, network: RegulatoryNetwork) -> None:
    expected = t_values(log_values(adata), network, ["TF2", "TF1"])
    pd.testing.assert_frame_equal(regulator_activity(adata, network), expected, rtol=1e-4, atol=1e-6)


def test_agrees_with_linear_regression_by_numpy(adata: AnnData, network: RegulatoryNetwork) -> None:
    values = log_values(adata).drop(columns="g07")
    x = network.subset(["TF1"], values.columns).weight[0].astype(float)
    y = values.loc["cell3"].to_numpy(dtype=float)
    design = np.column_stack([np.ones_like(x), x])
    coefficient, residual, _, _ = np.linalg.lstsq(design, y)
    variance = residual[0] / (len(y) - 2) * np.linalg.inv(design.T @ design)[1, 1]
    found = regulator_activity(adata, network).loc["cell3", "TF1"]
    assert found == pytest.approx(coefficient[1] / np.sqrt(variance), rel=1e-4)


def test_values_that_are_no_counts_are_taken_as_they_are(adata: AnnData, network: RegulatoryNetwork) -> None:
    values = pd.DataFrame(np.random.default_rng(2).normal(size=adata.shape), CELLS, GENES)
    adata.layers["scaled"] = values.to_numpy()
    expected = t_values(values, network, ["TF2", "TF1"])
    pd.testing.assert_frame_equal(regulator_activity(adata, network, layer="scaled"), expected)


@pytest.mark.parametrize("form", [np.asarray, csc_matrix, csr_array], ids=lambda form: form.__name__)
def test_form_of_the_matrix_does_not_matter(adata: AnnData, network: RegulatoryNetwork, form: type) -> None:
    other = AnnData(form(adata.X.toarray()), obs=adata.obs, var=adata.var)
    pd.testing.assert_frame_equal(regulator_activity(other, network), regulator_activity(adata, network))


def test_order_of_genes_does_not_matter(adata: AnnData, network: RegulatoryNetwork) -> None:
    shuffled = network.subset(["few", "TF1", "TF2"], list(network.targets)[::-1])
    found = regulator_activity(adata[:, GENES[::-1]].copy(), shuffled)
    assert list(found.columns) == ["TF1", "TF2"]  # in the order of the network
    expected = regulator_activity(adata, network)
    pd.testing.assert_frame_equal(found[expected.columns], expected, rtol=1e-4, atol=1e-6)


def test_order_of_cells_does_not_matter(adata: AnnData, network: RegulatoryNetwork) -> None:
    expected = regulator_activity(adata, network)
    pd.testing.assert_frame_equal(regulator_activity(adata[CELLS[::-1]].copy(), network), expected.iloc[::-1])


def test_a_table_gives_the_same_as_its_network(adata: AnnData, network: RegulatoryNetwork) -> None:
    found, expected = (regulator_activity(adata, net) for net in (network.to_frame(), network))
    pd.testing.assert_frame_equal(found[expected.columns], expected)


def test_flipping_every_sign_flips_the_activity(adata: AnnData, network: RegulatoryNetwork) -> None:
    flipped = RegulatoryNetwork(-network.weight, network.regulators, network.targets)
    pd.testing.assert_frame_equal(regulator_activity(adata, flipped), -regulator_activity(adata, network))


def test_targets_that_follow_the_weights_make_a_regulator_active(network: RegulatoryNetwork) -> None:
    follows = 5 + network.subset(["TF1"], GENES).weight
    adata = AnnData(np.vstack([follows, 10 - follows]) + 0.01, var=pd.DataFrame(index=GENES))
    activity = regulator_activity(adata, network)["TF1"]
    assert activity.iloc[0] > 10
    assert activity.iloc[1] < -10


def test_min_targets_counts_targets_in_the_data(adata: AnnData, network: RegulatoryNetwork) -> None:
    assert list(regulator_activity(adata, network, min_targets=3).columns) == ["TF2", "TF1", "few"]
    assert list(regulator_activity(adata[:, GENES[1:]].copy(), network, min_targets=3).columns) == ["TF2", "TF1"]


def test_empty_cells_have_no_activity(adata: AnnData, network: RegulatoryNetwork) -> None:
    counts = adata.X.toarray()
    counts[2] = 0
    activity = regulator_activity(AnnData(csr_matrix(counts), obs=adata.obs, var=adata.var), network)
    assert list(activity.index) == CELLS
    assert list(activity.index[activity.isna().all(axis=1)]) == ["cell2"]
    rest = adata[[name for name in CELLS if name != "cell2"]].copy()
    pd.testing.assert_frame_equal(activity.drop(index="cell2"), regulator_activity(rest, network))


@pytest.mark.filterwarnings("ignore:Observation names are not unique")
def test_repeated_cell_names_keep_their_rows(adata: AnnData, network: RegulatoryNetwork) -> None:
    expected = regulator_activity(adata, network)
    adata.obs_names = ["same"] * len(CELLS)
    found = regulator_activity(adata, network)
    assert list(found.index) == ["same"] * len(CELLS)
    np.testing.assert_array_equal(found, expected)


def test_nothing_in_the_data_changes(adata: AnnData, network: RegulatoryNetwork) -> None:
    adata.layers["counts"] = adata.X.copy()
    before = adata.copy()
    regulator_activity(adata, network)
    regulator_activity(adata, network, layer="counts")
    assert (adata.X != before.X).nnz == 0
    assert (adata.layers["counts"] != before.layers["counts"]).nnz == 0
    assert (list(adata.uns), list(adata.obsm), list(adata.obs), list(adata.var)) == ([], [], [], [])


def test_fits_into_obsm_and_survives_a_file(adata: AnnData, network: RegulatoryNetwork, tmp_path: Path) -> None:
    activity = regulator_activity(adata, network)
    adata.obsm["scdual_activity"] = activity
    adata.write_h5ad(tmp_path / "cells.h5ad")
    again = ad.read_h5ad(tmp_path / "cells.h5ad").obsm["scdual_activity"]
    pd.testing.assert_frame_equal(again, activity)


def test_agrees_with_decoupler(adata: AnnData, network: RegulatoryNetwork) -> None:
    decoupler = pytest.importorskip("decoupler")
    values = adata.copy()
    sc.pp.filter_genes(values, min_cells=1)
    sc.pp.normalize_total(values)
    sc.pp.log1p(values)
    decoupler.mt.ulm(values, network.to_frame(), tmin=5)
    found = regulator_activity(adata, network)
    np.testing.assert_allclose(found, values.obsm["score_ulm"][found.columns], rtol=1e-5, atol=1e-6)


def test_decoupler_is_not_needed(adata: AnnData, network: RegulatoryNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "decoupler", None)
    assert regulator_activity(adata, network).notna().all(axis=None)


def test_the_table_is_written_where_asked(adata: AnnData, network: RegulatoryNetwork) -> None:
    activity = regulator_activity(adata, network, key_added="scdual_activity")
    assert list(adata.obsm) == ["scdual_activity"]
    pd.testing.assert_frame_equal(adata.obsm["scdual_activity"], activity)


def test_a_failed_call_writes_nothing(adata: AnnData, network: RegulatoryNetwork) -> None:
    with pytest.raises(ValueError, match="No regulator has 99 targets"):
        regulator_activity(adata, network, min_targets=99, key_added="scdual_activity")
    with pytest.raises(TypeError, match="`key_added` is 3"):
        regulator_activity(adata, network, key_added=3)
    assert list(adata.obsm) == []


def test_other_gene_names_are_an_error_that_shows_both(adata: AnnData, network: RegulatoryNetwork) -> None:
    adata.var_names = [f"ENSG{i}" for i in range(len(GENES))]
    with pytest.raises(ValueError, match=r"0 of \d+ targets are there.*\['g\d\d'.*\['ENSG0'"):
        regulator_activity(adata, network)


def test_too_few_targets_are_an_error(adata: AnnData, network: RegulatoryNetwork) -> None:
    with pytest.raises(ValueError, match="at most 3 of one regulator.*lower `min_targets`"):
        regulator_activity(adata, network.subset(["few"]))


def test_network_without_edges_is_an_error(adata: AnnData, network: RegulatoryNetwork) -> None:
    with pytest.raises(ValueError, match="The network has no edges"):
        regulator_activity(adata, network.top(0))


def test_bad_data_are_an_error(adata: AnnData, network: RegulatoryNetwork) -> None:
    with pytest.raises(KeyError, match=r"Layer 'log' is not in `adata.layers`, which holds \[\]"):
        regulator_activity(adata, network, layer="log")
    adata.layers["bad"] = np.full(adata.shape, np.nan)
    with pytest.raises(ValueError, match="240 values are NaN or infinite"):
        regulator_activity(adata, network, layer="bad")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"adata": None}, TypeError, "`adata` is None of type NoneType, expected AnnData"),
        ({"network": np.ones((2, 2))}, TypeError, "Found a ndarray, expected a RegulatoryNetwork"),
        ({"layer": ["log"]}, TypeError, "`layer` is .* of type list, expected str or None"),
        ({"min_targets": 0}, ValueError, "`min_targets` is 0, expected a whole number of at least 1"),
        ({"min_targets": 2.5}, TypeError, "`min_targets` is 2.5"),
    ],
    ids=str,
)
def test_arguments_are_checked(
    adata: AnnData, network: RegulatoryNetwork, arguments: dict, error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        regulator_activity(**{"adata": adata, "network": network} | arguments)


def test_data_without_x_are_an_error(adata: AnnData, network: RegulatoryNetwork) -> None:
    adata.X = None
    with pytest.raises(ValueError, match="`adata` has no `X`.*`layer=`"):
        regulator_activity(adata, network)


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
def test_repeated_gene_names_are_an_error(adata: AnnData, network: RegulatoryNetwork) -> None:
    adata.var_names = ["g00", *GENES[:-1]]
    with pytest.raises(ValueError, match=r"more than once in `adata.var_names`: \['g00'\]"):
        regulator_activity(adata, network)


def test_cells_on_disk_have_the_activities_of_cells_in_memory(
    adata: AnnData, network: RegulatoryNetwork, tmp_path: Path
) -> None:
    adata.write_h5ad(tmp_path / "cells.h5ad")
    on_disk = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    pd.testing.assert_frame_equal(regulator_activity(on_disk, network), regulator_activity(adata, network))
    on_disk.file.close()
