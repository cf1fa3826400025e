from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.sparse import csr_matrix

from scdual.data._query_genes import names_as_in, with_genes_of

IDS = [f"ENSG{i:011d}" for i in range(1, 7)]


def query(names: list[str], layout: Callable = csr_matrix) -> AnnData:
    adata = AnnData(layout(np.arange(1.0, 4.0)[:, None] * np.arange(1, len(names) + 1)))
    adata.var_names = names
    adata.layers["counts"] = adata.X.copy()
    adata.obs["site"], adata.obsm["X_pca"], adata.uns["note"] = ["a", "b", "a"], np.eye(3), "kept"
    adata.var["is_tf"], adata.var["mean"] = True, 1.5
    adata.raw = adata
    return adata


@pytest.mark.parametrize("layout", [csr_matrix, np.array])
def test_genes_are_sorted_left_out_and_filled_in_and_the_rest_is_kept(layout: Callable, unchanged: Callable) -> None:
    given = query(["C", "A", "Z"], layout)
    with unchanged(given), pytest.warns(UserWarning, match=r"1 of 3 genes .*, e\.g\. \['B'\]\. With so many missing"):
        found = with_genes_of(given, pd.Index(["A", "B", "C"]))
    for counts in (found.X, found.layers["counts"]):
        np.testing.assert_array_equal(
            counts.toarray() if layout is csr_matrix else counts, np.outer([1, 2, 3], [2, 0, 1])
        )
    assert list(found.var_names) == ["A", "B", "C"]
    assert found.var["is_tf"].tolist() == [True, False, True]
    assert found.obs.equals(given.obs)
    assert found.uns["note"] == "kept"
    np.testing.assert_array_equal(found.obsm["X_pca"], np.eye(3))
    assert found.raw.shape == (3, 3)


@pytest.mark.parametrize("layout", [csr_matrix, np.array])
def test_what_belongs_to_genes_moves_with_them(layout: Callable, unchanged: Callable) -> None:
    given, number = query(["C", "A", "Z"], layout), np.array([[1], [2], [3]])
    given.var_names.name = "gene"
    given.varm["PCs"], given.varm["count"], given.varm["sparse"] = number / 2, number, csr_matrix(number)
    given.varm["table"] = pd.DataFrame({"share": number[:, 0] / 2, "is_tf": True}, index=given.var_names)
    given.varp["correlation"], given.obsp["distances"] = layout(np.arange(1, 10).reshape(3, 3)), csr_matrix(np.eye(3))
    with unchanged(given), pytest.warns(UserWarning, match=r"1 of 3 genes"):
        found = with_genes_of(given, pd.Index(["A", "B", "C"]))
    np.testing.assert_array_equal(found.varm["PCs"], [[1], [np.nan], [0.5]])
    np.testing.assert_array_equal(found.varm["count"], [[2], [0], [1]])
    np.testing.assert_array_equal(found.varm["sparse"].toarray(), [[2], [0], [1]])
    np.testing.assert_array_equal(found.varm["table"]["share"], [1, np.nan, 0.5])
    assert found.varm["table"]["is_tf"].tolist() == [True, False, True]
    pairs = found.varp["correlation"]
    assert (pairs.toarray() if layout is csr_matrix else pairs).tolist() == [[5, 0, 4], [0, 0, 0], [2, 0, 1]]
    assert found.obsp["distances"].toarray().tolist() == np.eye(3).tolist()
    assert found.var_names.name == "gene"


def test_data_in_the_order_of_the_reference_stay_as_they_are(contents: Callable) -> None:
    given = query(["A", "B", "C"])
    given.var["n"], given.var["kind"] = [1, 2, 3], pd.Categorical(["x", "y", "x"])
    given.varm["PCs"], given.varp["correlation"], given.obsp["distances"] = np.eye(3), csr_matrix(np.eye(3)), np.eye(3)
    given.varm["table"] = pd.DataFrame({"share": [1.5, 2, 3]}, index=given.var_names)
    given.raw = given
    assert contents(with_genes_of(given, given.var_names)) == contents(given)


@pytest.mark.filterwarnings("ignore:Observation names are not unique")
def test_repeated_cell_names_do_not_matter() -> None:
    given = query(["B", "A"])
    given.obs_names = ["cell"] * 3
    assert with_genes_of(given, pd.Index(["A", "B"])).X[2].toarray().tolist() == [[6, 3]]


@pytest.mark.parametrize(("there", "here"), [("", ".7"), (".2", ""), (".2", ".7")])
def test_ensembl_ids_match_whatever_their_version(there: str, here: str) -> None:
    reference, found = [f"{name}{there}" for name in IDS], pd.Index([f"{name}{here}" for name in IDS[::-1]])
    with pytest.warns(UserWarning, match=rf"6 Ensembl ids were matched without their versions, e\.g\. {found[0]} as"):
        assert list(names_as_in(found, pd.Index(reference))) == reference[::-1]


@pytest.mark.parametrize(
    ("found", "reference"),
    [
        ([f"{IDS[0]}.1", f"{IDS[0]}.2"], [IDS[0]]),
        ([IDS[0]], [f"{IDS[0]}.1", f"{IDS[0]}.2"]),
        ([f"{IDS[0]}.1", IDS[0]], [IDS[0]]),
        (["HLA.1", "AC012.3"], ["HLA", "AC012"]),
    ],
)
def test_names_that_are_not_clear_are_left(found: list[str], reference: list[str]) -> None:
    assert list(names_as_in(pd.Index(found), pd.Index(reference))) == found


def test_queries_without_cells_or_shared_genes_or_with_repeated_ones_are_errors() -> None:
    with pytest.raises(ValueError, match="no cells"):
        with_genes_of(query(["A"])[:0].copy(), pd.Index(["A"]))
    with pytest.raises(ValueError, match=r"None of the 2 genes .*e\.g\. \['X', 'Y'\]; genes there look like \['A'\]"):
        with_genes_of(query(["A"]), pd.Index(["X", "Y"]))
    with pytest.raises(ValueError, match="1 gene names occur more than once"):
        names_as_in(pd.Index(["A", "A"]), pd.Index(["A"]))


def test_names_that_differ_in_capitals_only_are_an_error() -> None:
    mouse = query(["Gata1", "Spi1", "Tal1", "Xist", "mt-Nd1"])
    with pytest.raises(ValueError, match="None of the 2 .*'GATA1' and 'Gata1' differ in capitals only"):
        with_genes_of(mouse, pd.Index(["GATA1", "TAL1"]))
    with pytest.raises(ValueError, match="3 of 4 genes .* but 2 of them .* similar name. .* use the same organism"):
        with_genes_of(mouse, pd.Index(["GATA1", "OTHER", "TAL1", "Xist"]))
    with pytest.warns(UserWarning, match="1 of 6 genes .* 'XIST' and 'Xist' differ in capitals only"):
        with_genes_of(mouse, pd.Index(["Gata1", "Spi1", "Tal1", "XIST", "mt-Nd1", "Xist"]))


def test_versions_that_are_not_clear_are_an_error() -> None:
    several = query([f"{name}.{version}" for name in IDS[:2] for version in (1, 2)] + ["A"])
    with pytest.raises(ValueError, match=r"2 of 3 genes .* could be each of .*give the version you mean"):
        with_genes_of(several, pd.Index([*IDS[:2], "A"]))
