import re

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from scipy.sparse import csr_array, csr_matrix
from scipy.stats import zscore
from scvi import REGISTRY_KEYS

from scdual.datasets import simulate
from scdual.model import SCDual

PRIOR = pd.DataFrame({"source": ["REG01", "REG02"], "target": ["GENE001", "GENE002"], "weight": [2.0, -1.0]})


def test_each_column_is_registered_under_its_key(adata: AnnData) -> None:
    adata.obs["depth"] = np.asarray(adata.X.sum(1)).ravel() + 1
    adata.obs["age"] = np.linspace(-1, 1, adata.n_obs)
    adata.obs["donor"] = ["a", "b", "c"] * 50
    adata.layers["counts"] = adata.X.copy()
    adata.X = csr_matrix(adata.shape, dtype=np.float32)
    SCDual.setup_anndata(
        adata,
        layer="counts",
        batch_key="batch",
        labels_key="cell_type",
        size_factor_key="depth",
        categorical_covariate_keys=["donor"],
        continuous_covariate_keys=["age"],
    )
    model = SCDual(adata, regulators="regulator")
    (tensors,) = model._make_data_loader(adata, batch_size=150)
    np.testing.assert_array_equal(tensors[REGISTRY_KEYS.X_KEY], adata.layers["counts"].toarray())
    np.testing.assert_array_equal(tensors[REGISTRY_KEYS.BATCH_KEY][:, 0], adata.obs["batch"].cat.codes)
    np.testing.assert_array_equal(tensors[REGISTRY_KEYS.LABELS_KEY][:, 0], adata.obs["cell_type"].cat.codes)
    np.testing.assert_allclose(tensors[REGISTRY_KEYS.SIZE_FACTOR_KEY][:, 0], adata.obs["depth"])
    np.testing.assert_allclose(tensors[REGISTRY_KEYS.CONT_COVS_KEY][:, 0], zscore(adata.obs["age"]), rtol=1e-5)
    np.testing.assert_array_equal(tensors[REGISTRY_KEYS.CAT_COVS_KEY][:, 0], [0, 1, 2] * 50)
    module = model.module
    assert (module.n_batch, module.n_labels, module.n_cats_per_cov) == (2, 5, [3])
    assert module.use_size_factor_key
    model.train(1)
    for values in (model.get_latent_representation(), model.get_elbo(), model.get_regulation().weight):
        assert np.isfinite(np.asarray(values)).all()


def test_a_view_is_an_error(adata: AnnData) -> None:
    with pytest.raises(ValueError, match=re.escape("adata.copy()")):
        SCDual.setup_anndata(adata[:50])


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_refused_counts_leave_the_data_unchanged(adata: AnnData, value: float) -> None:
    adata.X[0, adata.X[0].indices[0]] = value
    before = adata.copy()
    with pytest.raises(ValueError, match=r"adata\.X holds"):
        SCDual.setup_anndata(adata, batch_key="batch")
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    assert adata.uns == before.uns
    assert not adata.obsm
    np.testing.assert_array_equal(adata.X.toarray(), before.X.toarray())


def test_repeated_genes_are_errors_and_sparse_arrays_are_not(adata: AnnData) -> None:
    adata.X = csr_array(adata.X)
    SCDual.setup_anndata(adata)
    adata.var_names = ["same"] * 2 + list(adata.var_names[2:])
    with pytest.raises(ValueError, match=r"occur more than once, e\.g\. \['same'\]"):
        SCDual.setup_anndata(adata)


@pytest.mark.filterwarnings("ignore:Training will be faster when sparse matrix is formatted as CSR")
def test_the_layout_of_the_counts_does_not_matter(trained: SCDual, adata: AnnData) -> None:
    expected = trained.get_latent_representation()
    dense = adata.X.toarray()
    for counts in (adata.X, adata.X.tocsc(), dense, np.asfortranarray(dense), dense.astype(int), dense.astype(float)):
        other = AnnData(counts, obs=adata.obs.copy(), var=adata.var.copy())
        np.testing.assert_allclose(trained.get_latent_representation(other), expected, atol=1e-5)
        SCDual.setup_anndata(other)
        model = SCDual(other, regulators="regulator")
        model.train(1)
        assert np.isfinite(model.history["train_loss"].to_numpy(dtype=float)).all()


def test_values_that_are_no_counts_have_to_be_insisted_on(adata: AnnData) -> None:
    with pytest.raises(
        ValueError, match=r"adata\.layers\['true_expression'\] holds .* insist with `require_counts=False`"
    ):
        SCDual.setup_anndata(adata, layer="true_expression")
    SCDual.setup_anndata(adata, layer="true_expression", require_counts=False)


@pytest.mark.parametrize(
    "argument",
    [
        {"layer": "nope"},
        {"batch_key": "nope"},
        {"labels_key": "nope"},
        {"size_factor_key": "nope"},
        {"categorical_covariate_keys": ["batch", "nope"]},
        {"continuous_covariate_keys": ["nope"]},
    ],
    ids=lambda argument: next(iter(argument)),
)
def test_what_does_not_exist_is_named(adata: AnnData, argument: dict[str, object]) -> None:
    with pytest.raises(KeyError, match="nope"):
        SCDual.setup_anndata(adata, **argument)


def test_covariates_with_gaps_are_errors(adata: AnnData) -> None:
    adata.obs["gap"] = np.where(np.arange(adata.n_obs) < 3, np.nan, 1.0)
    with pytest.raises(ValueError, match="'gap' has 3 NaN"):
        SCDual.setup_anndata(adata, continuous_covariate_keys=["gap"])
    with pytest.raises(ValueError, match="'gap' has 3 values"):
        SCDual.setup_anndata(adata, size_factor_key="gap")


def test_the_constructor_needs_registered_data(adata: AnnData) -> None:
    with pytest.raises(ValueError, match=r"set up your AnnData with SCDual\.setup_anndata first"):
        SCDual(adata)
    with pytest.raises(ValueError, match="adata or registry must be provided"):
        SCDual()


@pytest.mark.parametrize(
    ("regulators", "expected"),
    [
        ("regulator", ["REG01", "REG02", "REG03", "REG04", "REG05", "REG06"]),
        (["REG02", "GENE003"], ["GENE003", "REG02"]),
        (None, None),
    ],
    ids=["column", "list", "all"],
)
def test_regulators_by_column_by_name_or_all(
    adata: AnnData, regulators: str | list[str] | None, expected: list[str] | None
) -> None:
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators=regulators)
    assert sorted(model.regulators) == sorted(adata.var_names if expected is None else expected)
    assert model.regulators == [name for name in adata.var_names if name in model.regulators]
    assert model.gene_names == list(adata.var_names)
    np.testing.assert_array_equal(adata.var_names[model.module.map.regulator_index.numpy()], model.regulators)


@pytest.mark.parametrize(("organism", "spelling"), [("human", str.upper), ("mouse", str.capitalize)])
@pytest.mark.parametrize("by_name", [True, False])
def test_regulators_by_organism(adata: AnnData, organism: str, spelling: type, by_name: bool) -> None:
    factors = [spelling(name) for name in ("GATA1", "SPI1", "RUNX1", "CEBPA", "TCF7", "LEF1")]
    adata.var_names = factors + [spelling(f"ACTB{chr(65 + i)}") for i in range(30)]
    SCDual.setup_anndata(adata)
    assert SCDual(adata, regulators=organism if by_name else "auto").regulators == factors


def test_auto_takes_every_gene_and_warns_when_the_organism_is_unclear(adata: AnnData) -> None:
    SCDual.setup_anndata(adata)
    with pytest.warns(UserWarning, match="all 36 genes are used as regulators"):
        model = SCDual(adata)
    assert model.regulators == list(adata.var_names)


def test_of_many_genes_those_that_vary_most_may_regulate_when_no_regulators_are_known() -> None:
    adata = simulate(60, 520, n_regulators=4)
    adata.X = np.random.default_rng(0).poisson(1.0, adata.shape).astype(np.float32)
    adata.X[::2, 505:515] += 30
    SCDual.setup_anndata(adata)
    with pytest.warns(
        UserWarning, match=r"the 500 genes that vary most are used as regulators\. Name the regulators"
    ) as caught:
        model = SCDual(adata)
    assert len([each for each in caught if each.category is UserWarning]) == 1  # scanpy's use of pandas is not ours
    assert len(model.regulators) == 500
    assert set(adata.var_names[505:515]) <= set(model.regulators)


def test_symbols_of_ensembl_ids_are_read_from_var(adata: AnnData) -> None:
    adata.var["gene_symbols"] = ["GATA1", "SPI1", "RUNX1", "CEBPA", "TCF7"] + [f"ACTB{chr(65 + i)}" for i in range(31)]
    adata.var_names = [f"ENSG{i:011d}" for i in range(36)]
    SCDual.setup_anndata(adata)
    assert SCDual(adata, regulators="human").regulators == list(adata.var_names[:5])


def test_regulators_that_are_not_among_the_genes_are_listed(adata: AnnData) -> None:
    SCDual.setup_anndata(adata)
    with pytest.raises(ValueError, match=r"2 of 3 regulators are not among the gene names, e\.g\. \['X', 'Y'\]"):
        SCDual(adata, regulators=["REG01", "X", "Y"])
    with pytest.raises(ValueError, match=r"`regulators='nope'` is not .* a column of `var`"):
        SCDual(adata, regulators="nope")


def test_a_prior_becomes_strengths_and_signs_of_target_by_regulator(adata: AnnData) -> None:
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator", prior=PRIOR)
    strength, sign = model.module.map.prior_strength, model.module.map.prior_sign
    for source, target, expected in [("REG01", "GENE001", 1.0), ("REG02", "GENE002", -0.5)]:
        place = model.gene_names.index(target), model.regulators.index(source)
        assert float(strength[place] * sign[place]) == pytest.approx(expected)
    assert int((strength != 0).sum()) == 2


def test_unknown_genes_of_a_prior_are_counted_in_a_warning(adata: AnnData) -> None:
    SCDual.setup_anndata(adata)
    unknown = pd.DataFrame({"source": ["NOPE", "REG01"], "target": ["GENE001", "NOPE"], "weight": [1.0, 1.0]})
    with pytest.warns(
        UserWarning, match="2 of 4 edges of the prior are used; left out: 1 with an unknown source, 1 with"
    ):
        SCDual(adata, regulators="regulator", prior=pd.concat([PRIOR, unknown]))
    with pytest.raises(ValueError, match="None of the 2 edges of the prior can be used"):
        SCDual(adata, regulators="regulator", prior=unknown)


def test_unknown_arguments_are_errors(adata: AnnData) -> None:
    SCDual.setup_anndata(adata)
    with pytest.raises(TypeError, match="n_typo"):
        SCDual(adata, regulators=None, n_typo=3)


def test_arguments_reach_the_module(adata: AnnData) -> None:
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators=None, n_latent=3, n_layers=2, gene_likelihood="zinb", n_bins=5)
    model.train(1)
    assert model.get_latent_representation().shape == (150, 3)
    assert model.module.gene_likelihood == "zinb"
    assert model.module.map.expr_embedding.n_bins == 5


def test_the_summary_names_sizes_parameters_and_status(trained: SCDual, capsys: pytest.CaptureFixture[str]) -> None:
    assert "36 genes, 6 of them regulators" in trained.summary_string
    assert f"n_latent: {trained.module.n_latent}" in trained.summary_string
    repr(trained)
    assert "Training status: Trained" in capsys.readouterr().out


def test_every_printing_method_prints(trained: SCDual, capsys: pytest.CaptureFixture[str]) -> None:
    for show in (
        trained.view_anndata_setup,
        lambda: trained.view_anndata_setup(trained.adata, hide_state_registries=True),
        trained.view_registry,
        trained.view_setup_method_args,
    ):
        show()
        assert "SCDual.setup_anndata" in capsys.readouterr().out


def test_the_registry_can_be_read(trained: SCDual) -> None:
    assert trained.get_setup_arg("batch_key") == "batch"
    assert list(trained.get_state_registry("batch").categorical_mapping) == ["batch_1", "batch_2"]
    assert trained.summary_stats.n_vars == 36
    np.testing.assert_array_equal(trained.get_var_names(), trained.adata.var_names)
    assert trained.get_from_registry(trained.adata, "X").shape == (150, 36)
    assert trained.data_registry("batch").shape == (150, 1)
    assert trained.device == torch.device("cpu")
    trained.to_device("cpu")


def test_arguments_of_the_setup_can_be_corrected(adata: AnnData) -> None:
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators=None)
    model.update_setup_method_args({"layer": "counts"})
    assert model.get_setup_arg("layer") == "counts"


def test_data_that_were_never_set_up_cannot_be_viewed(trained: SCDual, adata: AnnData) -> None:
    with pytest.raises(ValueError, match="not setup with SCDual"):
        trained.view_anndata_setup(adata)


def test_data_passed_to_a_model_can_be_forgotten(adata: AnnData) -> None:
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators=None)
    model.train(1)
    others = [adata[:20].copy(), adata[20:50].copy()]
    for other in others:
        model.get_latent_representation(other)
    store = SCDual._per_instance_manager_store[model.id]
    assert len(store) == 3
    model.deregister_manager(others[0])
    assert len(store) == 2
    with pytest.raises(ValueError, match="does not know these data"):
        model.deregister_manager(others[0])
    model.deregister_manager()
    assert list(store) == [model.adata_manager.adata_uuid] == list(SCDual._setup_adata_manager_store)
    model.get_latent_representation()


def test_setting_the_data_changes_what_methods_see(adata: AnnData) -> None:
    SCDual.setup_anndata(adata, batch_key="batch")
    model = SCDual(adata, regulators="regulator")
    model.train(1)
    before = model.get_latent_representation()
    other = adata[10:60].copy()
    model.adata = other
    assert model.adata is other
    assert model.summary_stats.n_cells == 50
    np.testing.assert_allclose(model.get_latent_representation(), before[10:60], atol=1e-5)
    lacking = adata.copy()
    del lacking.obs["batch"]
    with pytest.raises(KeyError, match="batch"):
        model.adata = lacking
    with pytest.raises(ValueError, match="cannot be None"):
        model.adata = None


def test_unknown_batches_are_errors(trained: SCDual, adata: AnnData) -> None:
    adata.obs["batch"] = adata.obs["batch"].cat.rename_categories({"batch_2": "batch_9"})
    with pytest.raises(ValueError, match=r"unknown to the model, e\.g\. \['batch_9'\]"):
        trained.get_latent_representation(adata)


def permuted(adata: AnnData) -> AnnData:
    return adata[:, ::-1].copy()


def renamed(adata: AnnData) -> AnnData:
    other = adata.copy()
    other.var_names = [f"other_{name}" for name in adata.var_names]
    return other


@pytest.mark.parametrize(("change", "problem"), [(permuted, "in another order"), (renamed, "36 are unknown")])
@pytest.mark.parametrize("method", ["get_latent_representation", "get_regulation", "get_elbo", "annotate"])
def test_new_data_with_other_genes_are_errors(
    trained: SCDual, adata: AnnData, change: type, problem: str, method: str
) -> None:
    other = change(adata)
    with pytest.raises(ValueError, match=problem):
        getattr(trained, method)(other)
    assert "scdual" not in other.uns


@pytest.mark.parametrize(("change", "problem"), [(permuted, "in another order"), (renamed, "36 are unknown")])
def test_setting_data_with_other_genes_is_an_error(trained: SCDual, adata: AnnData, change: type, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        trained.adata = change(adata)
    assert trained.adata.n_vars == 36
    trained.get_latent_representation()


@pytest.mark.parametrize(("change", "problem"), [(permuted, "in another order"), (renamed, "36 are unknown")])
def test_loading_with_other_genes_is_an_error(
    trained: SCDual, adata: AnnData, tmp_path: object, change: type, problem: str
) -> None:
    trained.save(tmp_path / "model")
    with pytest.raises(ValueError, match=problem):
        SCDual.load(tmp_path / "model", adata=change(adata))
    model = SCDual.load(tmp_path / "model", adata=False)
    with pytest.raises(ValueError, match=problem):
        model.get_latent_representation(change(adata))


@pytest.mark.filterwarnings("ignore:The number of training batches")
def test_data_on_disk_are_read_in_any_order(adata: AnnData, tmp_path: object) -> None:
    adata.write_h5ad(tmp_path / "cells.h5ad")
    backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r+")
    SCDual.setup_anndata(backed)
    model = SCDual(backed, regulators="regulator")
    model.train(1)
    expected = model.get_latent_representation(adata)
    np.testing.assert_allclose(model.get_latent_representation(), expected, atol=1e-5)
    for cells in ([3, 20, 50], [50, 3, 20]):
        np.testing.assert_allclose(model.get_latent_representation(indices=cells), expected[cells], atol=1e-5)
    backed.file.close()


@pytest.mark.parametrize("n_obs", [3, 20])
def test_few_cells_are_enough(n_obs: int) -> None:
    adata = simulate(n_obs, 12, n_regulators=3, n_cell_types=1)
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator")
    model.train(1, train_size=1.0)
    assert np.isfinite(model.get_latent_representation()).all()
    assert np.isfinite(model.get_regulation().weight).all()


def test_empty_cells_and_silent_genes_give_finite_results(adata: AnnData) -> None:
    counts = adata.X.toarray()
    counts[5], counts[:, 7] = 0, 0
    adata.X = csr_matrix(counts)
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators=None)
    model.train(1)
    assert np.isfinite(model.get_latent_representation()).all()
    assert np.isfinite(model.get_regulation().weight).all()
