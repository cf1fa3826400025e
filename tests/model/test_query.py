"""Query data are mapped onto a reference that does not change."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from anndata import AnnData
from scvi import REGISTRY_KEYS

from scdual.datasets import simulate
from scdual.model import SCDual

NEW_TABLES = {
    "map.regulation_decoder.effects.categorical.0",
    "cell_state.pooling_effects.categorical.0",
    "cell_state.decoder.effects.categorical.0",
    "cell_state.decoder.gene_effects.categorical.0",
}


@pytest.fixture(scope="module")
def cells() -> AnnData:
    return simulate(240, 30, n_regulators=5, n_batches=3)


@pytest.fixture
def query(cells: AnnData) -> AnnData:
    return cells[cells.obs["batch"] == "batch_3"].copy()


@pytest.fixture(scope="module")
def reference(cells: AnnData) -> SCDual:
    data = cells[cells.obs["batch"] != "batch_3"].copy()
    SCDual.setup_anndata(data, batch_key="batch")
    model = SCDual(data, regulators="regulator")
    model.train(2)
    model.train_ensemble(2)
    return model


def test_the_query_can_be_mapped_without_training(reference: SCDual, query: AnnData) -> None:
    model = SCDual.load_query_data(query, reference)
    assert model.is_trained
    assert model.get_latent_representation().shape == (query.n_obs, model.module.n_latent)
    for name in NEW_TABLES:
        table = model.module.get_parameter(name)
        assert len(table) == 3
        assert any(torch.equal(table[2], table[known]) for known in (0, 1))


def test_a_new_batch_starts_as_the_known_one_that_explains_it_best() -> None:
    cells = simulate(400, 30, n_regulators=5, n_batches=2)
    cells.X = cells.X.toarray()
    cells.X[(cells.obs["batch"] == "batch_2").to_numpy(), :15] *= 10  # one batch sees half of the genes better
    query = cells[::8].copy()
    query.obs["batch"] = query.obs["batch"].map({"batch_1": "like_1", "batch_2": "like_2"})
    SCDual.setup_anndata(cells, batch_key="batch")
    reference = SCDual(cells, regulators="regulator", batch_representation="embedding", dispersion="gene-batch")
    reference.train(10, batch_size=64, plan_kwargs={"max_kl_weight": 2.0})
    model = SCDual.load_query_data(query, reference)
    for name in (f"_embeddings_dict.{REGISTRY_KEYS.BATCH_KEY}.weight", "cell_state.decoder.log_inverse_dispersion"):
        table = model.module.get_parameter(name)
        assert not torch.equal(table[0], table[1])
        assert torch.equal(table[2:], table[:2])


def test_without_cells_to_ask_a_new_batch_starts_at_the_mean(reference: SCDual, query: AnnData) -> None:
    registry = SCDual.load_query_data(query, reference).registry
    model = SCDual.load_query_data(reference_model=reference, registry=registry)
    for name in NEW_TABLES:
        table = model.module.get_parameter(name)
        torch.testing.assert_close(table[2], table[:2].mean(0))


def test_training_changes_new_rows_and_nothing_else(reference: SCDual, query: AnnData) -> None:
    model = SCDual.load_query_data(query, reference)
    before = {name: values.clone() for name, values in model.module.state_dict().items()}
    assert {name for name, parameter in model.module.named_parameters() if parameter.requires_grad} == NEW_TABLES
    model.train(2)
    for name, values in model.module.state_dict().items():
        if name in NEW_TABLES:
            assert torch.equal(values[:2], before[name][:2])
            assert not torch.equal(values[2], before[name][2])
        else:
            assert torch.equal(values, before[name]), name


def test_gradients_of_known_rows_are_exactly_zero(reference: SCDual, query: AnnData) -> None:
    model = SCDual.load_query_data(query, reference)
    tensors = next(iter(model._make_data_loader(model.adata)))
    model.module.train()
    model.module(tensors)[2].loss.backward()
    for name, parameter in model.module.named_parameters():
        if name in NEW_TABLES:
            assert (parameter.grad[:2] == 0).all()
            assert (parameter.grad[2] != 0).any()
        else:
            assert parameter.grad is None, name


def test_the_gradient_of_new_rows_is_that_of_loss_and_prior(reference: SCDual, query: AnnData) -> None:
    mapped, free = (SCDual.load_query_data(query, reference, unfrozen=unfrozen) for unfrozen in (False, True))
    grads = []
    for model in (mapped, free):
        for name in NEW_TABLES:
            model.module.get_parameter(name).data[2] += 0.1
        tensors = next(iter(model._make_data_loader(model.adata, batch_size=query.n_obs)))
        torch.manual_seed(0)  # the same latent states
        model.module(tensors, loss_kwargs={"kl_weight": 1.0})[2].loss.backward()
        grads.append({name: model.module.get_parameter(name).grad[2] for name in NEW_TABLES})
    for name in NEW_TABLES:
        known = reference.module.get_parameter(name)
        scale = (0.1 * known.var(0, unbiased=True).mean()).sqrt()
        row = torch.full((known.shape[1],), 0.1, requires_grad=True)  # as far from its start
        (-torch.distributions.Normal(0.0, scale.item()).log_prob(row).sum() / query.n_obs).backward()
        torch.testing.assert_close(grads[0][name] - grads[1][name], row.grad, rtol=1e-3, atol=1e-4)


def test_a_single_known_batch_gives_no_prior(cells: AnnData, query: AnnData) -> None:
    data = cells[cells.obs["batch"] == "batch_1"].copy()
    SCDual.setup_anndata(data, batch_key="batch")
    reference = SCDual(data, regulators="regulator")
    reference.train(1)
    mapped = SCDual.load_query_data(query, reference)
    mapped.train(1)
    table = mapped.module.get_parameter("cell_state.decoder.effects.categorical.0")
    assert table.isfinite().all()
    assert not torch.equal(table[1], table[0])


def test_reference_cells_keep_their_embedding_and_the_map_stays(reference: SCDual, query: AnnData) -> None:
    expected = reference.get_latent_representation()
    model = SCDual.load_query_data(query, reference)
    model.train(1)
    np.testing.assert_array_equal(model.get_latent_representation(reference.adata.copy()), expected)
    found = model.get_regulation(reference.adata.copy())
    np.testing.assert_array_equal(found.weight, reference.get_regulation().weight)
    assert found.evidence is not None


def test_a_saved_reference_serves_as_well(reference: SCDual, query: AnnData, tmp_path: object) -> None:
    reference.save(tmp_path / "reference")
    expected = SCDual.load_query_data(query.copy(), reference).get_latent_representation()
    for folder in (tmp_path / "reference", str(tmp_path / "reference")):
        model = SCDual.load_query_data(query.copy(), folder)
        np.testing.assert_array_equal(model.get_latent_representation(), expected)
    model.save(tmp_path / "query")
    loaded = SCDual.load(tmp_path / "query", adata=model.adata)
    np.testing.assert_array_equal(loaded.get_latent_representation(), expected)


def test_a_query_from_known_batches_has_nothing_to_learn(reference: SCDual, cells: AnnData) -> None:
    known = cells[cells.obs["batch"] == "batch_1"].copy()
    model = SCDual.load_query_data(known, reference)
    np.testing.assert_allclose(
        model.get_latent_representation(), reference.get_latent_representation(known.copy()), atol=1e-6
    )
    with pytest.raises(ValueError, match="Nothing can learn: all parameters are frozen"):
        model.train(1)


def test_everything_learns_when_unfrozen(reference: SCDual, query: AnnData) -> None:
    model = SCDual.load_query_data(query, reference, unfrozen=True)
    assert all(parameter.requires_grad for parameter in model.module.parameters())
    before = model.module.map.gene_embedding.weight.detach().clone()
    model.train(1)
    assert not torch.equal(model.module.map.gene_embedding.weight, before)


def test_new_categories_of_every_kind_are_new_rows(cells: AnnData, query: AnnData) -> None:
    for data in (cells, query):
        data.obs["site"] = np.where(np.arange(data.n_obs) % 2, "here", "there")
    query.obs["site"] = "elsewhere"
    data = cells[cells.obs["batch"] != "batch_3"].copy()
    SCDual.setup_anndata(data, batch_key="batch", categorical_covariate_keys=["site"])
    reference = SCDual(data, regulators="regulator", dispersion="gene-batch", batch_representation="embedding")
    reference.train(1)
    expected = reference.get_latent_representation()
    model = SCDual.load_query_data(query, reference)
    learning = {name for name, parameter in model.module.named_parameters() if parameter.requires_grad}
    assert f"_embeddings_dict.{REGISTRY_KEYS.BATCH_KEY}.weight" in learning
    assert "cell_state.decoder.log_inverse_dispersion" in learning
    assert "cell_state.pooling_effects.categorical.1" in learning
    assert "cell_state.pooling_effects.categorical.0" not in learning  # effects of the learnt vector stay
    model.train(1)
    # tables with more rows may be multiplied in another order
    np.testing.assert_allclose(model.get_latent_representation(data.copy()), expected, rtol=1e-4, atol=1e-5)


def test_dropout_can_be_stopped(reference: SCDual, query: AnnData) -> None:
    model = SCDual.load_query_data(query, reference, freeze_dropout=True)
    assert model.module.cell_state.pooling.dropout_rate == 0
    assert all(part.p == 0 for part in model.module.modules() if isinstance(part, torch.nn.Dropout))
    assert reference.module.cell_state.pooling.dropout_rate > 0


def test_labels_are_transferred_to_the_query(cells: AnnData) -> None:
    marked = cells.copy()
    marked.X = marked.X.toarray()
    marked.X[np.arange(marked.n_obs), marked.obs["cell_type"].cat.codes] += 20
    data, query = (marked[(marked.obs["batch"] == "batch_3") == chosen].copy() for chosen in (False, True))
    SCDual.setup_anndata(data, batch_key="batch", labels_key="cell_type", unlabeled_category="Unknown")
    reference = SCDual(data, regulators="regulator", dropout_rate=0.1)
    reference.train(12, batch_size=32, plan_kwargs={"lr": 5e-3, "max_kl_weight": 0.1})
    truth = query.obs.pop("cell_type").to_numpy()
    with pytest.warns(UserWarning, match="Missing labels key cell_type"):
        model = SCDual.load_query_data(query, reference)
    assert (model.predict() == truth).mean() > 0.8
    with pytest.warns(UserWarning, match="Missing labels key cell_type"):
        free = SCDual.load_query_data(query, reference, freeze_classifier=False)
    assert free.module.classifier.weight.requires_grad
    assert not model.module.classifier.weight.requires_grad


@pytest.mark.filterwarnings("ignore:1 of 80 cells have no counts")
@pytest.mark.parametrize("inplace", [True, False])
def test_missing_genes_are_padded_and_reported(reference: SCDual, query: AnnData, inplace: bool) -> None:
    complete = query.copy()
    query = query[:, query.var_names[::-1][:-3]].copy()
    missing = sorted(set(complete.var_names) - set(query.var_names))
    with pytest.warns(UserWarning, match="3 of 30 genes of the reference are not in the query"):
        found = SCDual.prepare_query_anndata(query, reference, inplace=inplace)
    found = query if inplace else found
    assert list(found.var_names) == list(complete.var_names)
    assert found[:, missing].X.sum() == 0
    kept = found.var_names.difference(missing)
    np.testing.assert_array_equal(found[:, kept].X.toarray(), complete[:, kept].X.toarray())
    assert np.isfinite(SCDual.load_query_data(found, reference).get_latent_representation()).all()


def test_genes_of_the_reference_can_be_asked_for(reference: SCDual, query: AnnData, tmp_path: object) -> None:
    reference.save(tmp_path / "reference")
    for model in (reference, tmp_path / "reference"):
        names = SCDual.prepare_query_anndata(query, model, return_reference_var_names=True)
        assert list(names) == reference.gene_names


def test_other_genes_are_errors(reference: SCDual, query: AnnData) -> None:
    with pytest.raises(ValueError, match="in another order"):
        SCDual.load_query_data(query[:, ::-1].copy(), reference)


def test_new_batches_can_be_forbidden(reference: SCDual, query: AnnData) -> None:
    with pytest.raises(ValueError, match="batch categories missing from the reference"):
        SCDual.load_query_data(query, reference, transfer_batch=False)


def test_options_for_parts_of_scvi_are_refused(reference: SCDual, query: AnnData) -> None:
    with pytest.raises(NotImplementedError, match="parts of scVI that SCDual does not have"):
        SCDual.load_query_data(query, reference, freeze_expression=False)


def test_a_wrong_device_is_said_before_the_query_is_set_up(
    reference: SCDual, query: AnnData, unchanged: Callable
) -> None:
    with (
        unchanged(query),
        pytest.raises(ValueError, match="`device` is -1, expected 'auto' or the number of one device"),
    ):
        SCDual.load_query_data(query, reference, device=-1)


def test_a_reference_is_needed(query: AnnData) -> None:
    with pytest.raises(ValueError, match="reference model"):
        SCDual.load_query_data(query)


def labelled(cells: AnnData, unlabeled: str | None, **options: object) -> SCDual:
    data = cells[cells.obs["batch"] != "batch_3"].copy()
    SCDual.setup_anndata(data, batch_key="batch", labels_key="cell_type", unlabeled_category=unlabeled)
    model = SCDual(data, regulators="regulator", n_embed=8, n_hidden=8, n_latent=3, **options)
    model.train(1)
    return model


@pytest.mark.parametrize("unlabeled", [None, "Unknown"])
def test_new_data_need_no_labels(cells: AnnData, query: AnnData, unlabeled: str | None) -> None:
    reference = labelled(cells, unlabeled)
    query.obs["batch"] = "batch_1"
    expected = reference.predict(query, soft=True)
    other, gaps = query.copy(), query.copy()
    del other.obs["cell_type"]
    gaps.obs["cell_type"] = [None] * gaps.n_obs
    with pytest.warns(UserWarning, match="Missing labels key cell_type"):
        found = [reference.predict(other, soft=True), reference.predict(gaps, soft=True)]
    for table in found:
        np.testing.assert_allclose(table, expected, atol=1e-6)
    assert "cell_type" not in other.obs
    with pytest.warns(UserWarning, match="Missing labels key cell_type"):
        mapped = SCDual.load_query_data(other.copy(), reference)
    np.testing.assert_allclose(mapped.predict(soft=True), expected, atol=1e-6)
    assert list(mapped.predict(soft=True).columns) == list(expected.columns)


@pytest.mark.parametrize("dispersion", ["gene", "gene-label"])
@pytest.mark.parametrize("unlabeled", [None, "Unknown"])
def test_a_query_may_have_labels_of_its_own(
    cells: AnnData, query: AnnData, unlabeled: str | None, dispersion: str
) -> None:
    reference = labelled(cells, unlabeled, dispersion=dispersion)
    known = list(reference.predict(soft=True).columns)
    latent, table = reference.get_latent_representation(), reference.module.cell_state.decoder.log_inverse_dispersion
    query.obs["cell_type"] = np.where(np.arange(query.n_obs) % 2, "type_1", "of its own")
    model = SCDual.load_query_data(query, reference)
    assert list(model.predict(soft=True).columns) == [*known, "of its own"]
    if dispersion == "gene-label":
        grown = model.module.cell_state.decoder.log_inverse_dispersion
        assert torch.equal(grown[: len(known)], table[: len(known)])
        if unlabeled is not None:
            assert torch.equal(grown[-1], table[-1])
    model.train(1)
    codes = query.obs["_scvi_labels"].to_numpy()
    np.testing.assert_array_equal(codes, np.where(np.arange(query.n_obs) % 2, known.index("type_1"), len(known)))
    np.testing.assert_array_equal(model.get_latent_representation(reference.adata.copy()), latent)


def test_dispersions_of_labels_need_the_label_of_every_cell(cells: AnnData, query: AnnData) -> None:
    reference = labelled(cells, None, dispersion="gene-label")
    query.obs["batch"] = "batch_1"
    query.obs["cell_type"] = [None] * query.n_obs
    with pytest.raises(ValueError, match=r"dispersion='gene-label'` needs .* 80 of 80 cells have none"):
        reference.get_normalized_expression(query)


@pytest.mark.parametrize("inplace", [True, False])
def test_genes_are_sorted_in_place_only_if_asked_and_if_all_is_well(
    reference: SCDual, query: AnnData, inplace: bool, unchanged: object
) -> None:
    other = query[:, ::-1].copy()
    if not inplace:
        with unchanged(other), pytest.raises(ValueError, match="in another order"):
            SCDual.load_query_data(other, reference)
        return
    SCDual.load_query_data(other, reference, inplace_subset_query_vars=True)
    assert list(other.var_names) == reference.gene_names
    wrong = query[:, ::-1].copy()
    wrong.obs["batch"] = None
    with unchanged(wrong), pytest.raises(ValueError, match="no value for 80 of 80 cells"):
        SCDual.load_query_data(wrong, reference, inplace_subset_query_vars=True)


def test_a_view_is_prepared_as_a_copy_only(reference: SCDual, query: AnnData, unchanged: object) -> None:
    view = query[:20]
    with unchanged(view), pytest.raises(ValueError, match=r"a view of other data.*`query\.copy\(\)`"):
        SCDual.prepare_query_anndata(view, reference)
    assert SCDual.prepare_query_anndata(view, reference, inplace=False).n_obs == 20


@pytest.mark.parametrize("wrong", [3, "nowhere"])
def test_what_is_no_reference_is_an_error(query: AnnData, wrong: object) -> None:
    with pytest.raises((TypeError, ValueError, OSError), match="reference model|nowhere"):
        SCDual.load_query_data(query, wrong)


def test_preparing_in_place_keeps_every_slot(reference: SCDual, query: AnnData, contents: Callable) -> None:
    query = query[:, reference.gene_names].copy()
    query.varm["PCs"], query.varp["correlation"] = np.ones((30, 2)), np.eye(30)
    query.obsm["X_pca"], query.obsp["distances"] = np.ones((query.n_obs, 2)), np.eye(query.n_obs)
    query.layers["counts"], query.raw = query.X.copy(), query
    before = contents(query)
    SCDual.prepare_query_anndata(query, reference)
    assert contents(query) == before
