"""What a user of scvi-tools expects when query data are mapped onto a trained reference."""

from pathlib import Path

import numpy as np
import pytest
import scvi
import torch
from anndata import AnnData
from lightning.pytorch.callbacks import Callback
from scipy.sparse import csr_matrix

from scdual.datasets import simulate
from scdual.model import SCDual

TABLES = ("effects.categorical.", "log_inverse_dispersion", "_embeddings_dict")


class IsTraining(Callback):
    """Remember at each step whether all parts of the module are in training mode."""

    def __init__(self) -> None:
        self.seen: list[bool] = []

    def on_train_batch_start(self, trainer: object, pl_module: torch.nn.Module, *args: object) -> None:
        self.seen.append(all(part.training for part in pl_module.module.modules()))


@pytest.fixture(scope="module")
def cells() -> AnnData:
    data = simulate(180, 36, n_regulators=6, n_batches=3)
    data.obs["site"] = ["a", "b"] * 90
    data.layers["counts"] = data.X.copy()
    return data


@pytest.fixture
def query(cells: AnnData) -> AnnData:
    return cells[cells.obs["batch"] == "batch_3"].copy()


def reference_of(cells: AnnData, **options: str) -> SCDual:
    scvi.settings.seed = 0
    data = cells[cells.obs["batch"] != "batch_3"].copy()
    SCDual.setup_anndata(data, layer="counts", batch_key="batch", categorical_covariate_keys=["site"])
    model = SCDual(data, regulators="regulator", **options)
    model.train(2)
    return model


@pytest.fixture(scope="module")
def reference(cells: AnnData) -> SCDual:
    """Do not change this model: other tests of the file use it."""
    return reference_of(cells, dispersion="gene-batch")


@pytest.fixture(scope="module")
def embedded(cells: AnnData) -> SCDual:
    """As ``reference``, with a learnt vector per batch."""
    return reference_of(cells, batch_representation="embedding")


def grown(model: SCDual, reference: SCDual) -> dict[str, int]:
    """Return the number of the reference's rows of each parameter that has more."""
    known = reference.module.state_dict()
    return {
        name: len(known[name]) for name, values in model.module.named_parameters() if values.shape != known[name].shape
    }


def copied(model: SCDual) -> dict[str, torch.Tensor]:
    return {name: values.clone() for name, values in model.module.state_dict().items()}


def test_genes_are_put_into_the_order_of_the_reference_and_others_left_out(reference: SCDual, query: AnnData) -> None:
    counts = np.hstack([query.X.toarray()[:, ::-1], np.ones((60, 4))])
    wide = AnnData(csr_matrix(counts), obs=query.obs)
    wide.var_names = [*query.var_names[::-1], *"abcd"]
    SCDual.prepare_query_anndata(wide, reference)
    assert list(wide.var_names) == reference.gene_names
    np.testing.assert_array_equal(wide.X.toarray(), query.X.toarray())


@pytest.mark.parametrize("inplace", [True, False])
def test_missing_genes_become_zeros_in_counts_and_layers(reference: SCDual, query: AnnData, inplace: bool) -> None:
    other = query.copy()
    other.var_names = [f"new_{name}" if i < 5 else name for i, name in enumerate(query.var_names)]
    with pytest.warns(UserWarning, match="5 of 36 genes of the reference are not in the query"):
        prepared = SCDual.prepare_query_anndata(other, reference, inplace=inplace)
    assert (prepared is None) == inplace
    found = other if inplace else prepared
    assert list(found.var_names) == reference.gene_names
    for counts in (found.X, found.layers["counts"]):
        assert counts[:, :5].sum() == 0
        np.testing.assert_array_equal(counts[:, 5:].toarray(), query.X[:, 5:].toarray())


def test_a_copy_is_prepared_when_asked_for(reference: SCDual, query: AnnData) -> None:
    other = query[:, ::-1].copy()
    found = SCDual.prepare_query_anndata(other, reference, inplace=False)
    assert list(found.var_names) == reference.gene_names
    assert list(other.var_names) == reference.gene_names[::-1]


def test_genes_of_the_reference_are_returned(reference: SCDual, query: AnnData) -> None:
    names = SCDual.prepare_query_anndata(query, reference, return_reference_var_names=True)
    assert list(names) == reference.gene_names


def test_a_query_without_any_gene_of_the_reference_is_an_error(reference: SCDual, query: AnnData) -> None:
    query.var_names = [f"other_{name}" for name in query.var_names]
    with pytest.raises(ValueError, match=r"None of the 36 genes of the reference is in the query"):
        SCDual.prepare_query_anndata(query, reference)


def test_a_missing_covariate_is_an_error(reference: SCDual, query: AnnData) -> None:
    del query.obs["site"]
    with pytest.raises(KeyError, match="site"):
        SCDual.load_query_data(query, reference)


def test_covariates_the_reference_does_not_have_are_ignored(reference: SCDual, query: AnnData) -> None:
    expected = SCDual.load_query_data(query.copy(), reference).get_latent_representation()
    query.obs["mood"] = ["good", "bad"] * 30
    found = SCDual.load_query_data(query, reference)
    np.testing.assert_array_equal(found.get_latent_representation(), expected)


@pytest.mark.parametrize(("sites", "n_sites"), [(["a"], 2), (["a", "b", "c"], 3)], ids=["fewer", "more"])
def test_fewer_or_more_categories_are_fine(reference: SCDual, query: AnnData, sites: list[str], n_sites: int) -> None:
    query.obs["site"] = (sites * 60)[:60]
    model = SCDual.load_query_data(query, reference)
    assert model.module.n_cats_per_cov == [n_sites]
    assert np.isfinite(model.get_latent_representation()).all()


def test_the_query_starts_from_the_weights_of_the_reference(reference: SCDual, query: AnnData) -> None:
    model = SCDual.load_query_data(query, reference)
    new = grown(model, reference)
    assert new
    assert all(any(table in name for table in TABLES) for name in new)
    for name, values in reference.module.state_dict().items():
        assert torch.equal(model.module.state_dict()[name][: len(values)] if name in new else values, values), name


def test_the_query_can_be_read_at_once(reference: SCDual, query: AnnData) -> None:
    model = SCDual.load_query_data(query, reference)
    assert model.is_trained
    assert model.get_latent_representation().shape == (60, reference.module.n_latent)
    for name, n_known in grown(model, reference).items():
        table = model.module.get_parameter(name)
        assert any(torch.equal(table[n_known], table[known]) for known in range(n_known))


def test_a_saved_reference_serves_as_well(reference: SCDual, query: AnnData, tmp_path: Path) -> None:
    reference.save(tmp_path / "reference")
    expected = SCDual.load_query_data(query.copy(), reference).get_latent_representation()
    model = SCDual.load_query_data(query, str(tmp_path / "reference"))
    np.testing.assert_array_equal(model.get_latent_representation(), expected)


@pytest.mark.parametrize("which", ["reference", "embedded"])
def test_only_new_rows_have_a_gradient(which: str, query: AnnData, request: pytest.FixtureRequest) -> None:
    reference = request.getfixturevalue(which)
    model = SCDual.load_query_data(query, reference)
    new = grown(model, reference)
    model.module.train()
    model.module(next(iter(model._make_data_loader(query))))[2].loss.backward()
    for name, parameter in model.module.named_parameters():
        assert parameter.requires_grad == (name in new), name
        if name not in new:
            assert parameter.grad is None, name
        else:
            assert (parameter.grad[: new[name]] == 0).all(), name
            assert (parameter.grad[new[name] :] != 0).any(), name


@pytest.mark.parametrize("which", ["reference", "embedded"])
def test_training_without_decay_changes_new_rows_only(
    which: str, query: AnnData, request: pytest.FixtureRequest
) -> None:
    reference = request.getfixturevalue(which)
    model = SCDual.load_query_data(query, reference)
    new, before = grown(model, reference), copied(model)
    model.train(max_epochs=1, plan_kwargs={"weight_decay": 0.0})
    for name, values in copied(model).items():
        if name in new:
            assert torch.equal(values[: new[name]], before[name][: new[name]]), name
            assert not torch.equal(values[new[name] :], before[name][new[name] :]), name
        else:
            assert torch.equal(values, before[name]), name


def test_vectors_of_known_batches_stay_bit_by_bit(embedded: SCDual, query: AnnData) -> None:
    model = SCDual.load_query_data(query, embedded)
    model.train(3)  # with the default weight decay
    name = "_embeddings_dict.batch.weight"
    known, table = embedded.module.get_parameter(name), model.module.get_parameter(name)
    assert len(table) == len(known) + 1
    assert torch.equal(table[:2], known)


@pytest.mark.parametrize("which", ["reference", "embedded"])
def test_cells_of_the_reference_keep_their_embedding_bit_by_bit(
    which: str, query: AnnData, request: pytest.FixtureRequest
) -> None:
    reference = request.getfixturevalue(which)
    expected = reference.get_latent_representation()
    model = SCDual.load_query_data(query, reference)
    model.train(2)
    np.testing.assert_array_equal(model.get_latent_representation(reference.adata.copy()), expected)


def test_tables_per_batch_grow_by_the_new_batches_and_keep_the_old(reference: SCDual, query: AnnData) -> None:
    query.obs["batch"] = ["batch_3", "batch_4"] * 30
    model = SCDual.load_query_data(query, reference)
    name = "cell_state.decoder.log_inverse_dispersion"
    known, table = reference.module.get_parameter(name), model.module.get_parameter(name)
    assert (known.shape, table.shape) == ((2, 36), (4, 36))
    assert torch.equal(table[:2], known)
    assert model.summary_stats.n_batch == 4


def test_dropout_is_active_when_the_query_trains(reference: SCDual, query: AnnData) -> None:
    spy = IsTraining()
    SCDual.load_query_data(query, reference).train(2, callbacks=[spy])
    assert spy.seen == [True, True]


@pytest.mark.filterwarnings("ignore:.*`var_names` for the loaded `model` does not match")
def test_a_query_with_genes_in_another_order_is_an_error(reference: SCDual, query: AnnData) -> None:
    with pytest.raises(ValueError, match="in another order"):
        SCDual.load_query_data(query[:, ::-1].copy(), reference)


@pytest.mark.parametrize(
    "option",
    [
        {"freeze_expression": False},
        {"freeze_decoder_first_layer": False},
        {"freeze_batchnorm_encoder": False},
        {"freeze_batchnorm_decoder": True},
    ],
    ids=lambda option: next(iter(option)),
)
def test_options_for_layers_that_do_not_exist_are_refused(
    reference: SCDual, query: AnnData, option: dict[str, bool]
) -> None:
    with pytest.raises(NotImplementedError, match="leave them at their defaults"):
        SCDual.load_query_data(query, reference, **option)


def test_everything_learns_when_unfrozen(reference: SCDual, query: AnnData) -> None:
    model = SCDual.load_query_data(query, reference, unfrozen=True)
    model.train(1)
    pairs = zip(reference.module.named_parameters(), model.module.parameters(), strict=True)
    stays = {name for (name, old), new in pairs if torch.equal(old, new[: len(old)] if old.ndim else new)}
    # batches that are not in the query have no say, and the prior moves once the KL divergence counts
    waits = ("effects", "log_inverse_dispersion", "cell_state.prior")
    assert {name for name in stays if not any(part in name for part in waits)} == set()


def test_genes_are_sorted_in_place_when_asked_for(reference: SCDual, query: AnnData) -> None:
    expected = SCDual.load_query_data(query.copy(), reference).get_latent_representation()
    other = query[:, ::-1].copy()
    model = SCDual.load_query_data(other, reference, inplace_subset_query_vars=True)
    assert list(other.var_names) == reference.gene_names
    np.testing.assert_array_equal(model.get_latent_representation(), expected)


def test_new_batches_can_be_forbidden(reference: SCDual, query: AnnData) -> None:
    with pytest.raises(ValueError, match="batch categories missing from the reference"):
        SCDual.load_query_data(query, reference, transfer_batch=False)


def test_a_query_from_known_batches_has_nothing_to_learn(reference: SCDual, cells: AnnData) -> None:
    model = SCDual.load_query_data(cells[cells.obs["batch"] == "batch_1"].copy(), reference)
    assert not any(parameter.requires_grad for parameter in model.module.parameters())
    with pytest.raises(ValueError, match="Nothing can learn"):
        model.train(1)
