"""Which genes a model gets: those that vary, and regulators that variance alone would lose."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData
from mudata import MuData
from scipy.sparse import csc_matrix

from scdual.pp import select_genes

FACTORS = ["SPI1", "GATA1", "PAX5", "RUNX1"]
N_CELLS, N_GENES = 80, 60


@pytest.fixture
def adata() -> AnnData:
    """Return two types of cells: ten markers vary, four factors hardly do, of which RUNX1 is in two cells."""
    rng = np.random.default_rng(0)
    mean = np.full((N_CELLS, N_GENES), 2.0)
    mean[: N_CELLS // 2, 10:15] = mean[N_CELLS // 2 :, 15:20] = 40  # the same depth in both types
    counts = rng.poisson(mean).astype(np.float32)
    counts[:, 3] = 0
    counts[:2, 3] = 1
    names = FACTORS + [f"CD{number}" for number in range(4, N_GENES)]
    obs = pd.DataFrame({"batch": ["a", "b"] * (N_CELLS // 2)}, index=[f"cell_{i}" for i in range(N_CELLS)])
    return AnnData(csc_matrix(counts), obs=obs, var=pd.DataFrame(index=names))


def marked(adata: AnnData, column: str = "highly_variable") -> list[str]:
    return adata.var_names[adata.var[column]].tolist()


def test_regulators_are_kept_beside_the_genes_that_vary_most(adata: AnnData) -> None:
    select_genes(adata, 10)
    assert marked(adata) == ["SPI1", "GATA1", "PAX5", *(f"CD{number}" for number in range(10, 20))]
    assert marked(adata, "scdual_kept") == ["SPI1", "GATA1", "PAX5"]


def test_without_keep_it_is_scanpys_choice(adata: AnnData) -> None:
    expected = adata.copy()
    sc.experimental.pp.highly_variable_genes(expected, n_top_genes=12, batch_key="batch")
    select_genes(adata, 12, keep=None, min_cells=0, batch_key="batch")
    assert not adata.var["scdual_kept"].any()
    pd.testing.assert_frame_equal(
        adata.var.drop(columns="scdual_kept")[sorted(expected.var)],
        expected.var[sorted(expected.var)],
        check_dtype=False,
    )
    assert adata.uns["hvg"]["flavor"] == "pearson_residuals"


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        ("human", ["SPI1", "GATA1", "PAX5"]),
        (["RUNX1", "CD40"], ["RUNX1", "CD40"]),
        ("wanted", ["CD50"]),
        (None, []),
    ],
)
def test_what_is_kept_can_be_chosen(adata: AnnData, keep: Any, expected: list[str]) -> None:
    adata.var["wanted"] = adata.var_names == "CD50"
    select_genes(adata, 10, keep)
    assert marked(adata, "scdual_kept") == expected


def test_a_gene_in_too_few_cells_is_no_variable_gene(adata: AnnData) -> None:
    counts = adata.X.toarray()
    counts[:, 30] = 0
    counts[0, 30] = 4000
    adata.X = counts
    select_genes(adata, 10, keep=None, min_cells=3)
    assert "CD30" not in marked(adata)
    assert np.isnan(adata.var.loc["CD30", "residual_variances"])


def test_the_data_can_be_cut_down(adata: AnnData) -> None:
    whole = adata.copy()
    select_genes(adata, 10, subset=True)
    assert adata.n_vars == 13
    assert adata.var["highly_variable"].all()
    np.testing.assert_array_equal(adata.X.toarray(), whole[:, adata.var_names].X.toarray())


def test_a_table_leaves_the_data_as_they_are(adata: AnnData, unchanged: Callable[..., Any]) -> None:
    marks = adata.copy()
    select_genes(marks, 10)
    before = adata.copy()
    table = select_genes(adata, 10, inplace=False)
    part = select_genes(adata, 10, inplace=False, subset=True)
    assert table is not None
    assert part is not None
    pd.testing.assert_frame_equal(adata.var, before.var)
    pd.testing.assert_frame_equal(table, marks.var)
    assert part.index.tolist() == marked(marks)


def test_a_layer_holds_the_counts(adata: AnnData) -> None:
    expected = select_genes(adata, 10, inplace=False)
    adata.layers["counts"] = adata.X
    adata.X = adata.X * 0.5
    found = select_genes(adata, 10, layer="counts", inplace=False)
    pd.testing.assert_frame_equal(found, expected)


def test_order_of_genes_and_empty_cells_do_not_matter(adata: AnnData) -> None:
    expected = select_genes(adata, 10, inplace=False)
    assert expected is not None
    turned = select_genes(adata[:, ::-1].copy(), 10, inplace=False)
    assert turned is not None
    pd.testing.assert_frame_equal(turned.loc[expected.index], expected, check_exact=False)


def test_a_cell_without_counts_has_no_say(adata: AnnData) -> None:
    counts = adata.X.toarray()
    counts[0] = 0
    adata.X = counts
    with pytest.warns(UserWarning, match="1 of 80 cells have no counts"):
        select_genes(adata, 10)
    assert adata.var["residual_variances"].notna().sum() == N_GENES - 1


def test_ensembl_ids_are_known_by_their_symbols(adata: AnnData) -> None:
    adata.var["gene_symbols"] = adata.var_names
    adata.var_names = [f"ENSG{number:011d}" for number in range(N_GENES)]
    select_genes(adata, 10)
    assert adata.var.loc[adata.var["scdual_kept"], "gene_symbols"].tolist() == ["SPI1", "GATA1", "PAX5"]


def test_an_unknown_organism_is_one_warning_that_names_the_cure(adata: AnnData) -> None:
    adata.var_names = [f"wbg_{number}" for number in range(N_GENES)]
    with pytest.warns(UserWarning, match=r"no regulator is kept.*`keep=` takes.*a list of gene names") as caught:
        select_genes(adata, 10)
    assert len([each for each in caught if each.category is UserWarning]) == 1  # scanpy's use of pandas is not ours
    assert marked(adata) == [f"wbg_{number}" for number in range(10, 20)]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"n_top_genes": 0}, ValueError, "`n_top_genes` is 0"),
        ({"n_top_genes": "2000"}, TypeError, "`n_top_genes` is '2000'"),
        ({"min_cells": -1}, ValueError, "`min_cells` is -1"),
        ({"min_cells": 81}, ValueError, "No gene is expressed in `min_cells=81` of the 80 cells"),
        ({"keep": ["SPI2"]}, ValueError, "1 of 1 genes of `keep` are not among the gene names"),
        ({"keep": "regulator"}, ValueError, "`keep='regulator'` is not 'regulators'.*Did you mean 'regulators'"),
        ({"keep": 3}, TypeError, "`keep` is 3 of type int"),
        ({"keep": []}, ValueError, "empty list"),
        ({"keep": "mouse"}, ValueError, "Found no mouse transcription factor"),
        ({"layer": "counts"}, KeyError, "Layer 'counts' is not in"),
        ({"batch_key": "donor"}, KeyError, "not a column of `obs`"),
        ({"batch_key": ["batch"]}, TypeError, "`batch_key` is"),
        ({"batch_key": "gap"}, ValueError, "has no value for 1 of 80 cells"),
        ({"subset": "yes"}, TypeError, "`subset` is 'yes'"),
        ({"require_counts": "no"}, TypeError, "`require_counts` is 'no'"),
        ({"inplace": 1}, TypeError, "`inplace` is 1"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_changes(
    adata: AnnData, unchanged: Callable[..., Any], options: dict[str, Any], error: type[Exception], words: str
) -> None:
    adata.obs["gap"] = [None, *["a"] * (N_CELLS - 1)]
    with unchanged(adata), pytest.raises(error, match=words):
        select_genes(adata, **options)


def test_values_that_are_no_counts_are_an_error(adata: AnnData, unchanged: Callable[..., Any]) -> None:
    sc.pp.log1p(adata)
    with unchanged(adata), pytest.raises(ValueError, match="no integers"):
        select_genes(adata)


def test_values_that_are_no_counts_pass_when_asked(adata: AnnData) -> None:
    adata.X = adata.X * np.float32(1.5)
    select_genes(adata, 10, require_counts=False)
    assert len(marked(adata)) == 13


def test_only_anndata_will_do(adata: AnnData) -> None:
    for data in (MuData({"rna": adata}), adata.X):
        with pytest.raises(TypeError, match="`adata` is of type .*expected AnnData"):
            select_genes(data)  # type: ignore[arg-type]


def test_a_file_on_disk_is_not_cut_in_place(adata: AnnData, tmp_path: Path) -> None:
    adata.write_h5ad(tmp_path / "cells.h5ad")
    on_disk = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    columns = list(on_disk.var)
    with pytest.raises(ValueError, match="`subset` is True, but `adata` is a file on disk"):
        select_genes(on_disk, 20, subset=True)
    assert list(on_disk.var) == columns
    on_disk.file.close()
