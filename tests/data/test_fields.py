import numpy as np
import pytest
from anndata import AnnData
from mudata import MuData
from scipy.sparse import csc_array, csc_matrix, csr_array, csr_matrix

from scdual.data._fields import (
    GeneLayerField,
    MuDataGeneLayerField,
    PositiveObsField,
    ScaledJointObsField,
    check_same_genes,
)
from scdual.data._manager import CellManager
from scdual.datasets import simulate_mudata


@pytest.fixture
def counts() -> AnnData:
    adata = AnnData(np.random.default_rng(0).poisson(2.0, (12, 4)).astype(np.float32))
    adata.var_names = ["A", "B", "C", "D"]
    adata.layers["counts"] = csr_matrix(adata.X)
    adata.obs["depth"] = np.linspace(1, 2, 12)
    adata.obs["kind"] = ["x", "y"] * 6
    return adata


def register(adata: AnnData, *fields: object) -> CellManager:
    """Register fields and, because there are always counts, those of X."""
    known = [] if any(isinstance(field, GeneLayerField) for field in fields) else [GeneLayerField("X", None)]
    manager = CellManager(fields=[*known, *fields])
    manager.register_fields(adata)
    return manager


@pytest.mark.parametrize("layout", [csr_matrix, csc_matrix, np.asfortranarray, np.ascontiguousarray])
@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.float64])
@pytest.mark.filterwarnings("ignore:Training will be faster when sparse matrix is formatted as CSR")
def test_every_layout_and_number_type_of_counts_is_accepted(counts: AnnData, layout: type, dtype: type) -> None:
    expected = counts.X.copy()
    counts.X = layout(expected.astype(dtype))
    manager = register(counts, GeneLayerField("X", None))
    assert manager.summary_stats.n_vars == 4
    stored = counts.X if isinstance(counts.X, np.ndarray) else counts.X.toarray()
    np.testing.assert_array_equal(stored, expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("layout", [csr_matrix, np.array])
def test_counts_that_are_not_finite_are_counted_in_an_error(counts: AnnData, value: float, layout: type) -> None:
    wrong = counts.X.copy()
    wrong[3, [0, 2]] = value
    counts.X = layout(wrong)
    with pytest.raises(ValueError, match=r"adata\.X holds 2 NaN or infinite values"):
        register(counts, GeneLayerField("X", None))
    assert not counts.uns
    assert list(counts.obs) == ["depth", "kind"]


def test_negative_counts_are_an_error_that_says_how_low(counts: AnnData) -> None:
    counts.layers["counts"][0, 0] = -3
    with pytest.raises(ValueError, match=r"adata\.layers\['counts'\] holds negative values \(down to -3\)"):
        register(counts, GeneLayerField("X", "counts"))
    assert not counts.uns


def test_data_without_a_count_are_an_error(counts: AnnData) -> None:
    counts.X = csr_matrix((12, 4), dtype=np.float32)
    with pytest.raises(ValueError, match=r"All counts in adata\.X are 0"):
        register(counts, GeneLayerField("X", None))


@pytest.mark.parametrize("layout", [csr_matrix, np.array])
def test_cells_without_counts_are_counted_in_a_warning(counts: AnnData, layout: type) -> None:
    values = counts.X.copy()
    values[[2, 5]] = 0
    counts.X = layout(values)
    with pytest.warns(UserWarning, match=r"2 of 12 cells have no counts in adata\.X"):
        register(counts, GeneLayerField("X", None))


@pytest.mark.parametrize("layout", [csr_array, csc_array])
def test_sparse_arrays_are_read_like_sparse_matrices(counts: AnnData, layout: type) -> None:
    expected = counts.X.copy()
    counts.X = layout(expected)
    manager = register(counts, GeneLayerField("X", None))
    found = manager.get_from_registry("X")
    assert isinstance(found, csr_matrix | csc_matrix)
    np.testing.assert_array_equal(found.toarray(), expected)
    assert isinstance(counts.X, layout)


def test_a_missing_layer_is_named_with_those_there_are(counts: AnnData) -> None:
    with pytest.raises(KeyError, match=r"'spliced' is not in `adata\.layers`, which holds \['counts'\]"):
        register(counts, GeneLayerField("X", "spliced"))


def test_repeated_gene_names_are_listed(counts: AnnData) -> None:
    counts.var_names = ["A", "B", "A", "D"]
    with pytest.raises(ValueError, match=r"1 gene names occur more than once, e\.g\. \['A'\]"):
        register(counts, GeneLayerField("X", None))


def test_values_that_are_no_counts_are_an_error_unless_they_are_insisted_on(counts: AnnData) -> None:
    counts.X[3] += 0.25
    with pytest.raises(ValueError, match=r"adata\.X holds 4 values that are no integers, e\.g\. \d\.25"):
        register(counts, GeneLayerField("X", None))
    assert not counts.uns
    register(counts, GeneLayerField("X", None, require_counts=False))


def test_counts_that_32_bits_do_not_hold_are_an_error(counts: AnnData) -> None:
    counts.X[0, 0] = 2**24
    register(counts, GeneLayerField("X", None))
    counts.X[0, 0] = 1e38
    with pytest.raises(ValueError, match=r"adata\.X holds values up to 1e\+38, expected counts of at most 16,777,216"):
        register(counts.copy(), GeneLayerField("X", None))


def test_new_data_need_the_same_genes_in_the_same_order(counts: AnnData) -> None:
    manager = register(counts, GeneLayerField("X", None))
    manager.transfer_fields(counts[:5].copy())
    with pytest.raises(ValueError, match="the model's 4 genes are in another order"):
        manager.transfer_fields(counts[:, ["B", "A", "C", "D"]].copy())
    renamed = counts.copy()
    renamed.var_names = ["A", "B", "C", "Z"]
    with pytest.raises(
        ValueError, match=r"1 of the model's 4 genes are missing \(e\.g\. \[.*'D'.*\]\) and 1 are unknown"
    ):
        manager.transfer_fields(renamed)
    with pytest.raises(
        ValueError, match=r"1 of the model's 4 genes are missing \(e\.g\. \[.*'D'.*\]\); .* model\)` counts"
    ):
        manager.transfer_fields(counts[:, ["A", "B", "C"]].copy())
    known = register(counts[:, ["A", "B"]].copy(), GeneLayerField("X", None))
    with pytest.raises(
        ValueError, match=r"all of the model's 2 genes are there, but 2 are unknown to it .*; use `adata\["
    ):
        known.transfer_fields(counts)


def test_equal_names_pass_whatever_their_type() -> None:
    check_same_genes(np.array(["A", "B"], dtype=object), np.array(["A", "B"]))


def test_the_field_of_mudata_checks_the_modality() -> None:
    mdata = simulate_mudata(20, 10, n_proteins=3, n_regulators=3)
    manager = CellManager(fields=[MuDataGeneLayerField("X", None, mod_key="rna", mod_required=True)])
    manager.register_fields(mdata)
    shuffled = MuData({"rna": mdata["rna"][:, ::-1].copy(), "prot": mdata["prot"].copy()})
    with pytest.raises(ValueError, match="in another order"):
        manager.transfer_fields(shuffled)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_continuous_covariates_must_be_finite(counts: AnnData, value: float) -> None:
    register(counts, ScaledJointObsField("covs", ["depth"]))
    counts.obs.loc[counts.obs_names[:2], "depth"] = value
    with pytest.raises(ValueError, match="'depth' has 2 NaN or infinite values"):
        register(counts.copy(), ScaledJointObsField("covs", ["depth"]))


RAW = {
    "large": np.linspace(1e3, 5e4, 12),
    "time stamps": 1.7e9 + np.arange(12.0),
    "huge": 1e300 * np.arange(12.0),
    "integers": np.arange(12),
    "short integers": np.arange(12, dtype=np.int8),
    "booleans": np.arange(12) % 2 == 0,
    "negative": -np.linspace(0, 1e-6, 12),
}


@pytest.mark.parametrize("unit", RAW)
def test_covariates_of_any_unit_and_type_are_standardised(counts: AnnData, unit: str) -> None:
    counts.obs["depth"] = RAW[unit]
    manager = register(counts, ScaledJointObsField("covs", ["depth"]))
    found = manager.get_from_registry("covs")["depth"]
    raw = np.asarray(RAW[unit], dtype=float) / np.abs(RAW[unit]).max()
    np.testing.assert_allclose(found, (raw - raw.mean()) / raw.std(), rtol=1e-5, atol=1e-6)


def test_new_data_keep_the_scale_of_the_covariates(counts: AnnData) -> None:
    manager = register(counts, ScaledJointObsField("covs", ["depth"]))
    expected = manager.get_from_registry("covs")["depth"]
    new = manager.transfer_fields(counts[3:7].copy())
    np.testing.assert_array_equal(new.get_from_registry("covs")["depth"], expected[3:7])
    third = new.transfer_fields(counts[5:6].copy())
    np.testing.assert_array_equal(third.get_from_registry("covs")["depth"], expected[5:6])


@pytest.mark.parametrize("value", [0.1, 0.0, 1e9, -3.3])
def test_a_constant_covariate_is_nothing_anywhere(counts: AnnData, value: float) -> None:
    counts.obs["depth"] = value
    with pytest.warns(UserWarning, match=r"\['depth'\] are the same in all cells"):
        manager = register(counts, ScaledJointObsField("covs", ["depth"]))
    assert (manager.get_from_registry("covs") == 0).all(axis=None)
    new = counts.copy()
    new.obs["depth"] = 7.0
    assert (manager.transfer_fields(new).get_from_registry("covs") == 0).all(axis=None)


def test_a_registry_without_a_scale_leaves_covariates_as_they_are(counts: AnnData) -> None:
    field = ScaledJointObsField("covs", ["depth"])
    field.transfer_field({"columns": np.array(["depth"])}, counts)
    np.testing.assert_allclose(counts.obsm["_scvi_covs"]["depth"], counts.obs["depth"], rtol=1e-6)


def test_covariates_that_are_no_numbers_are_named(counts: AnnData) -> None:
    with pytest.raises(ValueError, match=r"'kind' of `obs` is of type (object|str).*numbers are expected"):
        register(counts, ScaledJointObsField("covs", ["depth", "kind"]))


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_size_factors_must_be_positive(counts: AnnData, value: float) -> None:
    register(counts, PositiveObsField("size_factor", "depth"))
    counts.obs.loc[counts.obs_names[0], "depth"] = value
    with pytest.raises(ValueError, match="'depth' has 1 values in `obs` that are not finite and above 0"):
        register(counts.copy(), PositiveObsField("size_factor", "depth"))


@pytest.mark.parametrize("field", [ScaledJointObsField("covs", ["nope"]), PositiveObsField("size_factor", "nope")])
def test_a_missing_column_is_named(counts: AnnData, field: object) -> None:
    with pytest.raises(KeyError, match="'nope' is not a column of `obs`"):
        register(counts, field)
