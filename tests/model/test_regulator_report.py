"""What became of each transcription factor."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData
from mudata import MuData

from scdual.datasets import simulate
from scdual.model import SCDual

FACTORS = ["SPI1", "GATA1", "PAX5", "RUNX1", "Stat1", "TCF7", "GRCh38_KLF4"]


def make() -> AnnData:
    """Return cells in which GATA1 is in two, PAX5 the same in all; IRF8 is in `raw` only."""
    data = simulate(100, 30, n_regulators=6)
    names = [*FACTORS, *(f"CD{number}" for number in range(30 - len(FACTORS)))]
    counts = data.X.toarray()
    counts[:, 1] = 0
    counts[:2, 1] = 3
    counts[:, 2] = 1
    everything = AnnData(
        np.hstack([counts, counts[:, :2]]), obs=data.obs, var=pd.DataFrame(index=[*names, "IRF8", "TH"])
    )
    adata = everything[:, names].copy()
    adata.raw = everything
    adata.uns = {}
    return adata


@pytest.fixture
def adata() -> AnnData:
    return make()


@pytest.fixture
def model(adata: AnnData) -> SCDual:
    SCDual.setup_anndata(adata)
    return SCDual(adata, regulators=["SPI1", "GATA1", "PAX5", "RUNX1"])


EXPECTED = {
    "SPI1": "used",
    "RUNX1": "used",
    "GATA1": "too few cells",
    "PAX5": "constant",
    "TCF7": "not chosen",
    "STAT1": "name differs",
    "KLF4": "name differs",
    "IRF8": "removed before",
}


def test_each_factor_has_its_reason(model: SCDual) -> None:
    report = model.regulator_report()
    assert report["status"].astype(str).to_dict() == EXPECTED
    assert report.loc["STAT1", "gene"] == "Stat1"
    assert report.loc["KLF4", "gene"] == "GRCh38_KLF4"
    assert report.loc["GATA1", "n_cells"] == 2
    assert report.loc["PAX5", "n_cells"] == 100
    counts = np.asarray(model.adata.X)
    assert report.loc["SPI1", "n_cells"] == report.loc["IRF8", "n_cells"] == np.count_nonzero(counts[:, 0])
    assert list(report.columns) == ["status", "gene", "n_cells", "advice"]
    assert report.index.name == "factor"


def test_a_trained_model_says_the_same(model: SCDual) -> None:
    with pytest.warns(UserWarning, match="cells and get no edges"):
        model.train(1)
    report = model.regulator_report()
    assert report["status"].astype(str).to_dict() == EXPECTED
    is_estimated = model.module.map.known.z.numpy().any(axis=0)
    estimated = dict(zip(model.regulators, is_estimated, strict=True))
    assert estimated["SPI1"]
    assert not estimated["GATA1"]


def test_factors_are_looked_up_by_whatever_name(model: SCDual) -> None:
    report = model.regulator_report(["PU.1", "runx1", "T-bet", "ICSBP", "TCF-1", "STAT1"])
    assert report["status"].astype(str).to_dict() == {
        "PU.1": "used",
        "runx1": "used",
        "TCF-1": "name differs",
        "STAT1": "name differs",
        "ICSBP": "removed before",
        "T-bet": "not in the annotation",
    }
    assert report.loc["PU.1", "gene"] == "SPI1"
    assert report.loc["ICSBP", "gene"] == "IRF8"
    assert report.loc["T-bet", "gene"] is None
    assert report["n_cells"].isna().tolist() == [False] * 5 + [True]


def test_without_raw_nothing_is_known_of_removed_genes(adata: AnnData) -> None:
    adata.raw = None
    SCDual.setup_anndata(adata)
    report = SCDual(adata, regulators=["SPI1"]).regulator_report(["IRF8"])
    assert report["status"].tolist() == ["not in the annotation"]


def test_ensembl_ids_are_reported_by_symbol(adata: AnnData) -> None:
    ids = [f"ENSG{number:011d}" for number in range(adata.n_vars)]
    adata.var["gene_name"] = adata.var_names
    adata.var_names = ids
    adata.raw = None
    SCDual.setup_anndata(adata)
    report = SCDual(adata, regulators=ids[:1]).regulator_report()
    assert report.loc["SPI1", ["status", "gene"]].tolist() == ["used", ids[0]]
    assert report.loc["RUNX1", ["status", "gene"]].tolist() == ["not chosen", ids[3]]


def test_names_of_no_known_organism_list_the_regulators() -> None:
    data = simulate(60, 12, n_regulators=3)
    SCDual.setup_anndata(data)
    model = SCDual(data, regulators="regulator")
    assert model.regulator_report().index.tolist() == sorted(
        model.regulators, key=model.regulator_report().index.get_loc
    )
    assert set(model.regulator_report().index) == set(model.regulators)


def test_rna_of_mudata_is_reported(adata: AnnData) -> None:
    mdata = MuData({"rna": adata})
    SCDual.setup_mudata(mdata, modalities={"rna_layer": "rna"})
    report = SCDual(mdata, regulators=["SPI1", "GATA1", "PAX5", "RUNX1"]).regulator_report()
    assert report["status"].astype(str).to_dict() == EXPECTED


def test_a_choice_of_genes_leaves_its_trace(adata: AnnData) -> None:
    adata.raw = adata
    sc.pp.filter_genes(adata, min_cells=3)
    SCDual.setup_anndata(adata)
    report = SCDual(adata, regulators=["SPI1"]).regulator_report(["GATA1"])
    assert report["status"].tolist() == ["removed before"]
    assert "select_genes" in report["advice"].iloc[0]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"factors": "SPI1"}, TypeError, "`factors` is the text 'SPI1'"),
        ({"factors": []}, ValueError, "`factors` has no names"),
        ({"factors": [3]}, TypeError, "`factors` holds 3"),
        ({"organism": "fly"}, ValueError, "`organism` is 'fly'"),
    ],
)
def test_what_is_wrong_is_said(
    model: SCDual, unchanged: Callable[..., Any], options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with unchanged(model.adata), pytest.raises(error, match=words):
        model.regulator_report(**options)
