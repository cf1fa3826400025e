"""What is said about data that cannot be used: one sentence, before any work, and the data stay as they were."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import scvi
from anndata import AnnData
from mudata import MuData
from scipy.sparse import csr_matrix

from scdual.datasets import simulate
from scdual.model import SCDual

N_CELLS, N_GENES = 40, 12


def make() -> AnnData:
    adata = simulate(N_CELLS, N_GENES, n_regulators=3, n_batches=2)
    adata.X = adata.X.toarray() + np.eye(N_CELLS, N_GENES, dtype=np.float32) + 1
    adata.obs["depth"] = np.linspace(1e3, 5e4, N_CELLS)
    adata.obs["site"] = ["a", "b"] * (N_CELLS // 2)
    return adata


@pytest.fixture
def cells() -> AnnData:
    return make()


def put(value: Any) -> Callable[[AnnData], None]:
    """Return a change of one value of X."""

    def change(adata: AnnData) -> None:
        adata.X[3, 2] = value

    return change


def with_x(convert: Callable[[np.ndarray], Any]) -> Callable[[AnnData], None]:
    return lambda adata: setattr(adata, "X", convert(adata.X))


def column(key: str, values: Any) -> Callable[[AnnData], None]:
    def change(adata: AnnData) -> None:
        adata.obs[key] = values

    return change


def gap(key: str, kind: type) -> Callable[[AnnData], None]:
    def change(adata: AnnData) -> None:
        values = adata.obs[key].astype(kind).tolist()
        values[:2] = [np.nan, np.nan] if kind is float else [None, None]
        adata.obs[key] = values

    return change


class LazyArray:
    """What dask arrays look like to anndata's users."""

    shape, dtype = (N_CELLS, N_GENES), np.dtype("float32")

    def compute(self) -> None:
        """Not called: there is no work before an error."""


def nothing(adata: AnnData) -> None:
    """Leave the data as they are; the arguments are wrong."""


SETUP: dict[str, tuple[Callable[[AnnData], None], dict[str, Any], type[Exception], str]] = {
    "NaN": (put(np.nan), {}, ValueError, r"adata\.X holds 1 NaN or infinite values"),
    "negative": (put(-2), {}, ValueError, r"negative values \(down to -2\)"),
    "too large": (put(1e38), {}, ValueError, r"values up to 1e\+38, expected counts of at most 16,777,216"),
    "log-normalised": (with_x(np.log1p), {}, ValueError, "no integers.*looks normalised.*`require_counts=False`"),
    "all zero": (with_x(np.zeros_like), {}, ValueError, r"All counts in adata\.X are 0"),
    "objects": (with_x(lambda x: x.astype(object)), {}, TypeError, "holds values of type object, expected counts"),
    "complex": (with_x(lambda x: x.astype(complex)), {}, TypeError, "holds values of type complex128"),
    "no X": (with_x(lambda x: None), {}, ValueError, r"adata\.X is empty; name the layer .* `layer=`, one of \[.*'raw'\]"),
    "missing layer": (nothing, {"layer": "spliced"}, KeyError, r"'spliced' is not in `adata\.layers`, .* \[.*'raw'\]"),
    "missing batch": (nothing, {"batch_key": "nope"}, KeyError, "'nope' is not a column of `obs`, which has"),
    "missing labels": (nothing, {"labels_key": "nope"}, KeyError, "'nope' is not a column of `obs`"),
    "missing size factor": (nothing, {"size_factor_key": "nope"}, KeyError, "'nope' is not a column of `obs`"),
    "missing category": (nothing, {"categorical_covariate_keys": ["nope"]}, KeyError, "'nope' is not a column of `obs`"),
    "missing covariate": (nothing, {"continuous_covariate_keys": ["nope"]}, KeyError, "'nope' is not a column of `obs`"),
    "text for covariates": (nothing, {"continuous_covariate_keys": "depth"}, TypeError, r"expected a list.*\['depth'\]"),
    "text for categories": (nothing, {"categorical_covariate_keys": "site"}, TypeError, r"expected a list.*\['site'\]"),
    "two batch columns": (nothing, {"batch_key": ["batch", "site"]}, TypeError, "expected the name of one column"),
    "a covariate twice": (nothing, {"continuous_covariate_keys": ["depth"] * 2}, ValueError, r"has \['depth'\] more than once"),
    "a category twice": (nothing, {"categorical_covariate_keys": ["site"] * 2}, ValueError, r"has \['site'\] more than once"),
    "measurements as batches": (column("batch", np.linspace(0, 1, 40)), {"batch_key": "batch"}, ValueError, "40 different numbers in 40 cells, e.g. 0.025"),
    "label for none, no labels": (nothing, {"unlabeled_category": "U"}, ValueError, "needs `labels_key`"),
    "NaN in batches": (gap("batch", str), {"batch_key": "batch"}, ValueError, "'batch' .* no value for 2 of 40 cells"),
    "NaN in number batches": (gap("depth", float), {"batch_key": "depth"}, ValueError, "'depth' .* no value for 2 of 40"),
    "NaN in labels": (gap("site", str), {"labels_key": "site"}, ValueError, "'site' .* no value for 2 of 40 cells"),
    "NaN in categories": (gap("site", str), {"categorical_covariate_keys": ["site"]}, ValueError, "no value for 2 of 40"),
    "NaN in covariates": (gap("depth", float), {"continuous_covariate_keys": ["depth"]}, ValueError, "2 NaN or infinite"),
    "text as covariate": (nothing, {"continuous_covariate_keys": ["site"]}, ValueError, "numbers are expected"),
    "mixed batches": (column("batch", [1, "1"] * 20), {"batch_key": "batch"}, ValueError, "of type int and str, expected"),
    "size factor 0": (column("depth", 0.0), {"size_factor_key": "depth"}, ValueError, "40 values .* not finite and above 0"),
    "size factor NaN": (gap("depth", float), {"size_factor_key": "depth"}, ValueError, "2 values .* not finite and above 0"),
    "repeated genes": (lambda a: setattr(a, "var_names", ["A"] * N_GENES), {}, ValueError, "1 gene names occur more than once"),
    "unknown argument": (nothing, {"batch": "batch"}, TypeError, "has no argument `batch`. Did you mean 'batch_key'"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Variable names are not unique", "ignore:var_names are not unique")
@pytest.mark.parametrize("kind", ["AnnData", "MuData"])
@pytest.mark.parametrize("case", SETUP)
def test_set_up_says_what_is_wrong_and_changes_nothing(
    cells: AnnData, case: str, kind: str, unchanged: Callable
) -> None:
    change, arguments, error, message = SETUP[case]
    cells.layers["raw"] = csr_matrix(cells.X)
    change(cells)
    if kind == "AnnData":
        with unchanged(cells), pytest.raises(error, match=message):
            SCDual.setup_anndata(cells, **({"batch_key": "batch"} | arguments))
        return
    mdata = MuData({"prot": AnnData(obs=pd.DataFrame(index=cells.obs_names[::-1])), "rna": cells})
    mdata.obs["batch"] = "a"
    arguments = {"rna_layer" if key == "layer" else key: value for key, value in arguments.items()}
    modalities = {"rna_layer": "rna"} | {key: "rna" for key in arguments if key.endswith(("_key", "_keys"))}
    with unchanged(mdata), pytest.raises(error, match=message):
        SCDual.setup_mudata(mdata, **({"batch_key": "batch"} | arguments), modalities=modalities)


@pytest.mark.parametrize("shape", [(0, N_GENES), (N_CELLS, 0)])
def test_empty_data_are_an_error(cells: AnnData, shape: tuple[int, int], unchanged: Callable) -> None:
    empty = cells[: shape[0], : shape[1]].copy()
    with unchanged(empty), pytest.raises(ValueError, match=f"has {shape[0]} cells and {shape[1]} genes"):
        SCDual.setup_anndata(empty)


def test_a_lazy_array_is_an_error_that_gives_the_conversion(cells: AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AnnData, "X", LazyArray())
    with pytest.raises(TypeError, match=r"LazyArray, expected .*`adata\.X = adata\.X\.compute\(\)`"):
        SCDual.setup_anndata(cells)


@pytest.mark.parametrize("axis", ["obs_names", "var_names"])
@pytest.mark.parametrize("name", [np.nan, 7])
def test_names_that_are_no_text_are_an_error(
    cells: AnnData, axis: str, name: object, unchanged: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = pd.Index([name, *getattr(cells, axis)[1:]], dtype=object)
    monkeypatch.setattr(AnnData, axis, names)
    what = "cell" if axis == "obs_names" else "gene"
    with unchanged(cells), pytest.raises(ValueError, match=rf"1 of \d+ {what} names are no text, e\.g\. \[{name}\]"):
        SCDual.setup_anndata(cells)


@pytest.mark.parametrize("layout", [np.array, csr_matrix])
@pytest.mark.parametrize("value", [np.nan, -1.0, 0.5])
def test_values_on_disk_are_read_before_training(cells: AnnData, tmp_path: Path, layout: Any, value: float) -> None:
    cells.X[-1, -1] = value
    cells.X = layout(cells.X)
    cells.write_h5ad(tmp_path / "cells.h5ad")
    backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    with pytest.raises(ValueError, match="NaN or infinite|negative|no integers"):
        SCDual.setup_anndata(backed)
    assert list(backed.uns) == ["simulation"]
    backed.file.close()


def build(cells: AnnData, **setup: Any) -> SCDual:
    scvi.settings.seed = 0
    SCDual.setup_anndata(cells, **setup)
    return SCDual(cells, regulators=None, n_embed=8, n_hidden=8, n_latent=3)


@pytest.mark.parametrize("values", [[True, False], [1, 2], [0.5, 1.5], ["a", "b"]])
def test_batches_and_labels_may_be_of_any_one_type(cells: AnnData, values: list[Any]) -> None:
    cells.obs["kind"] = values * (N_CELLS // 2)
    model = build(cells, batch_key="kind", labels_key="kind", categorical_covariate_keys=["kind"])
    assert (model.summary_stats.n_batch, model.summary_stats.n_labels, model.module.n_cats_per_cov) == (2, 2, [2])
    expected = [sorted(values).index(value) for value in values]
    np.testing.assert_array_equal(cells.obs["_scvi_batch"], expected * (N_CELLS // 2))


def test_categories_that_no_cell_has_do_not_count(cells: AnnData) -> None:
    cells.obs["kind"] = pd.Categorical(cells.obs["site"], categories=["z", "b", "a"])
    model = build(cells, batch_key="kind", labels_key="kind", categorical_covariate_keys=["kind"])
    assert (model.summary_stats.n_batch, model.summary_stats.n_labels, model.module.n_cats_per_cov) == (2, 2, [2])
    np.testing.assert_array_equal(cells.obs["_scvi_batch"], [1, 0] * (N_CELLS // 2))


def test_a_category_of_few_cells_is_named(cells: AnnData) -> None:
    cells.obs["kind"] = ["rare"] * 2 + ["frequent"] * (N_CELLS - 2)
    with pytest.warns(UserWarning, match=r"1 categories of 'kind' have fewer than 3 cells, e\.g\. \['rare'\]"):
        build(cells, batch_key="kind")


def test_cells_without_counts_are_counted_in_a_warning(cells: AnnData) -> None:
    cells.X[:2] = 0
    with pytest.warns(UserWarning, match=r"2 of 40 cells have no counts in adata\.X"):
        build(cells)


def test_a_label_for_none_that_no_cell_has_is_named(cells: AnnData) -> None:
    cells.obs["label"] = ["A", "B", "Unknown", "B"] * 10
    with pytest.warns(UserWarning, match=r"No cell has the label 'unknown' .* Did you mean 'Unknown'\?"):
        build(cells, labels_key="label", unlabeled_category="unknown")


def test_labels_keep_their_type_beside_the_label_for_none(cells: AnnData) -> None:
    cells.obs["label"] = [1, 2, 3, 2] * 10
    model = build(cells, labels_key="label", unlabeled_category=1.0)
    labels = model._state("labels")["categorical_mapping"].tolist()
    assert list(map(repr, labels)) == ["2", "3", "1"]


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float16, np.int64])
def test_counts_may_be_of_any_number_type(cells: AnnData, dtype: type) -> None:
    cells.X = (cells.X - 1).astype(dtype)
    (tensors,) = build(cells)._make_data_loader(cells, batch_size=N_CELLS)
    np.testing.assert_array_equal(tensors["X"], cells.X)


def test_values_that_are_no_counts_can_be_insisted_on(cells: AnnData) -> None:
    cells.X = np.log1p(cells.X)
    model = build(cells, require_counts=False)
    model._validate_anndata(cells.copy())


def test_repeated_cell_names_do_not_matter(cells: AnnData) -> None:
    cells.obs_names = ["cell"] * N_CELLS
    build(cells)


@pytest.mark.filterwarnings("ignore:Cannot join columns with the same name", "ignore:var_names are not unique")
def test_repeated_cell_names_of_mudata_are_an_error(cells: AnnData, unchanged: Callable) -> None:
    mdata = MuData({"rna": cells, "prot": cells[:, :2].copy()})
    mdata["rna"].obs_names = mdata["prot"].obs_names = ["cell"] * N_CELLS
    with unchanged(mdata), pytest.raises(ValueError, match=r"Cell names .* repeat, e\.g\. \['cell'\]"):
        SCDual.setup_mudata(mdata, modalities={"rna_layer": "rna"})


@pytest.fixture(scope="module")
def trained() -> SCDual:
    """Do not change this model or its data: other tests of the file use them."""
    model = build(make(), batch_key="batch", labels_key="site")
    model.train(1)
    return model


def repeat_genes(query: AnnData) -> None:
    query.var_names = [*query.var_names[:-1], query.var_names[0]]


def rename_genes(query: AnnData) -> None:
    query.var_names = [f"other_{name}" for name in query.var_names]


QUERIES: dict[str, tuple[Callable[[AnnData], None], str]] = {
    "NaN": (put(np.nan), "1 NaN or infinite values"),
    "log-normalised": (with_x(np.log1p), "looks normalised"),
    "no batch": (lambda query: query.obs.__delitem__("batch"), "'batch' is not a column of `obs`"),
    "NaN in batches": (gap("batch", str), "no value for 2 of 40 cells"),
    "repeated genes": (repeat_genes, "1 gene names occur more than once"),
    "other genes": (rename_genes, "12 of the model's 12 genes are missing.*prepare_query_anndata"),
}
ROUTES = {
    "get": lambda model, query: model.get_latent_representation(query),
    "set": lambda model, query: setattr(model, "adata", query),
    "load": lambda model, query: SCDual.load_query_data(query, model),
}


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("case", QUERIES)
def test_a_query_says_what_is_wrong_and_changes_nothing(
    trained: SCDual, cells: AnnData, case: str, route: str, unchanged: Callable
) -> None:
    change, message = QUERIES[case]
    change(cells)
    with unchanged(cells, trained.adata), pytest.raises((ValueError, KeyError), match=message):
        ROUTES[route](trained, cells)


@pytest.mark.parametrize("route", [*ROUTES, "prepare"])
def test_an_empty_query_is_an_error(trained: SCDual, cells: AnnData, route: str, unchanged: Callable) -> None:
    routes = ROUTES | {"prepare": lambda model, query: SCDual.prepare_query_anndata(query, model)}
    empty = cells[:0].copy()
    with unchanged(empty), pytest.raises(ValueError, match="ha(s|ve) no cells; check how"):
        routes[route](trained, empty)


@pytest.mark.parametrize("route", ["get", "load"])
@pytest.mark.parametrize(
    ("known", "given", "message"),
    [
        ([1, 2], ["1", "2"], r"holds '1' \(str\) where the model knows 1 \(int\); .* `\.astype\(int\)`"),
        (["1", "2"], [1, 2], r"holds 1 \(int\) where the model knows '1' \(str\); .* `\.astype\(str\)`"),
    ],
)
def test_batches_of_another_type_are_an_error(
    cells: AnnData, route: str, known: list, given: list, message: str, unchanged: Callable
) -> None:
    cells.obs["batch"] = known * (N_CELLS // 2)
    model = build(cells, batch_key="batch")
    model.is_trained = True
    query = make()
    query.obs["batch"] = given * (N_CELLS // 2)
    with unchanged(query), pytest.raises(ValueError, match=message):
        ROUTES[route](model, query)


@pytest.mark.parametrize("value", [0, False, ""])
def test_an_unknown_batch_is_an_error_also_if_it_counts_as_false(cells: AnnData, value: object) -> None:
    cells.obs["batch"] = [type(value)(1), type(value)(2)] * 20 if value != "" else ["a", "b"] * 20
    model = build(cells, batch_key="batch")
    model.is_trained = True
    query = make()
    query.obs["batch"] = value
    with pytest.raises(
        ValueError, match=rf"1 categories in column 'batch' .* unknown to the model, e\.g\. \['{value}'\]"
    ):
        model.get_latent_representation(query)


CHANGES: dict[str, tuple[Callable[[AnnData], None], str]] = {
    "log1p": (with_x(np.log1p), "the counts changed in 40 of 40 cells"),
    "one value in place": (put(9), "the counts changed in 1 of 40 cells"),
    "genes sorted": (lambda a: a._inplace_subset_var(sorted(a.var_names)), "the genes stand in another order"),
    "values of genes permuted": (with_x(lambda x: x[:, ::-1].copy()), "the counts changed in"),
    "values of cells permuted": (with_x(lambda x: x[::-1].copy()), "the counts of the cells stand in another order"),
    "genes filtered": (lambda a: a._inplace_subset_var(a.var_names[:-1]), "there were 12 genes and now there are 11"),
    "cells filtered": (lambda a: a._inplace_subset_obs(a.obs_names[:-1]), "there were 40 cells and now there are 39"),
    "cells sorted": (lambda a: a._inplace_subset_obs(a.obs_names[::-1]), "the cells stand in another order"),
    "genes renamed": (rename_genes, "12 genes have other names"),
    "batch edited": (column("batch", "b"), r"column 'batch' of `obs` changed in 40 of 40 cells"),
    "label edited": (column("site", ["b", "a"] * 20), r"column 'site' of `obs` changed in 40 of 40 cells"),
    "covariate edited": (column("depth", 1.0), r"column 'depth' of `obs` changed in 40 of 40 cells"),
    "batch removed": (lambda a: a.obs.__delitem__("batch"), "column 'batch' of `obs` is gone"),
    "codes removed": (lambda a: a.obs.__delitem__("_scvi_batch"), "column '_scvi_batch' of `obs`, .* is gone"),
    "codes edited": (column("_scvi_batch", 0), r"column '_scvi_batch' of `obs`, .* changed in"),
}  # fmt: skip
USES: dict[str, Callable[[SCDual], Any]] = {
    "construction": lambda model: SCDual(model.adata, regulators=None),
    "training": lambda model: model.train(1),
    "ensemble": lambda model: model.train_ensemble(2),
    "query": lambda model: model.get_latent_representation(),
    "annotation": lambda model: model.annotate(),
    "saving the data": lambda model: model.save("unused", save_anndata=True),
}


@pytest.mark.parametrize("case", CHANGES)
def test_data_that_changed_after_set_up_are_an_error_in_every_use(
    cells: AnnData, case: str, unchanged: Callable
) -> None:
    model = build(cells, batch_key="batch", labels_key="site", continuous_covariate_keys=["depth"])
    model.train_map()
    model.is_trained = True
    change, message = CHANGES[case]
    change(cells)
    for use in USES.values():
        with (
            unchanged(cells),
            pytest.raises(ValueError, match=rf"^The data changed after they were set up: {message}.*; undo"),
        ):
            use(model)


HARMLESS: dict[str, Callable[[AnnData], Any]] = {
    "new column": column("new", 1.0),
    "embedding": lambda a: a.obsm.__setitem__("X_pca", np.ones((N_CELLS, 2))),
    "other unused column": column("site", "z"),
    "X where counts lie in a layer": with_x(np.log1p),
    "dense made sparse": lambda a: a.layers.__setitem__("counts", csr_matrix(a.layers["counts"])),
    "another number type": lambda a: a.layers.__setitem__("counts", a.layers["counts"].astype(np.int64)),
    "categories made text": column("batch", make().obs["batch"].astype(str)),
    "unused category": column("batch", make().obs["batch"].cat.add_categories("unused")),
    "colours": lambda a: a.uns.__setitem__("batch_colors", ["red"]),
    "setup for another class": lambda a: scvi.model.SCVI.setup_anndata(a, layer="counts"),
}


@pytest.mark.parametrize("case", HARMLESS)
def test_changes_of_what_is_not_registered_do_not_matter(cells: AnnData, case: str) -> None:
    cells.layers["counts"] = cells.X.copy()
    model = build(cells, layer="counts", batch_key="batch", continuous_covariate_keys=["depth"])
    HARMLESS[case](cells)
    model._validate_anndata()


def test_new_data_that_change_are_read_anew(trained: SCDual, cells: AnnData) -> None:
    trained.get_latent_representation(cells)
    cells.X = cells.X * 2
    cells.obs["batch"] = cells.obs["batch"].to_numpy()[::-1]
    found = trained.get_latent_representation(cells)
    np.testing.assert_array_equal(found, trained.get_latent_representation(cells.copy()))
