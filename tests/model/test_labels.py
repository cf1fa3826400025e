"""Labels are predicted from the latent state."""

import numpy as np
import pytest
from anndata import AnnData

from scdual.datasets import simulate
from scdual.model import SCDual


def mark_types(data: AnnData) -> AnnData:
    """Return the cells with ten more molecules of a gene of its own in each type."""
    counts = data.X.toarray()
    counts[np.arange(data.n_obs), data.obs["cell_type"].cat.codes] += 10
    data.X = counts
    return data


@pytest.fixture(scope="module")
def labelled() -> SCDual:
    """A model that knows the types of half of its cells."""
    data = mark_types(simulate(300, 40, n_regulators=6, n_cell_types=3))
    known = data.obs["cell_type"].astype(str).to_numpy()
    known[::2] = "Unknown"
    data.obs["known"] = known
    SCDual.setup_anndata(data, labels_key="known", unlabeled_category="Unknown")
    model = SCDual(data, regulators="regulator", classification_weight=10.0)
    model.train(8, batch_size=32, plan_kwargs={"lr": 5e-3})
    return model


def test_cells_without_labels_get_those_of_their_kind(labelled: SCDual) -> None:
    found = labelled.predict(indices=np.arange(0, 300, 2))
    assert (found == labelled.adata.obs["cell_type"].to_numpy()[::2]).mean() > 0.9


def test_probabilities_are_a_table_of_the_known_labels(labelled: SCDual) -> None:
    found = labelled.predict(soft=True)
    assert sorted(found.columns) == ["type_1", "type_2", "type_3"]
    assert list(found.index) == list(labelled.adata.obs_names)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(found.idxmax(axis=1), labelled.predict())


def test_minibatches_and_size_of_minibatches_do_not_matter(labelled: SCDual) -> None:
    expected = labelled.predict(soft=True)
    np.testing.assert_allclose(labelled.predict(soft=True, batch_size=7), expected, atol=1e-5)
    loader = labelled._make_data_loader(labelled.adata)
    np.testing.assert_allclose(labelled.predict(soft=True, dataloader=loader), expected, atol=1e-5)
    with pytest.raises(ValueError, match="one of `adata` or `dataloader`"):
        labelled.predict(labelled.adata, dataloader=loader)


def test_a_sample_of_the_latent_state_can_be_classified(labelled: SCDual) -> None:
    sampled = [labelled.predict(soft=True, use_posterior_mean=False).to_numpy() for _ in range(2)]
    assert not np.allclose(*sampled)


def test_labels_are_kept_in_a_saved_model(labelled: SCDual, tmp_path: object) -> None:
    labelled.save(tmp_path / "model")
    loaded = SCDual.load(tmp_path / "model", adata=labelled.adata)
    np.testing.assert_array_equal(loaded.predict(), labelled.predict())


def test_without_labels_there_is_nothing_to_predict(trained: SCDual) -> None:
    with pytest.raises(ValueError, match="fewer than two labels, so there is nothing to predict"):
        trained.predict()


def test_an_unlabelled_category_needs_a_column(adata: AnnData) -> None:
    with pytest.raises(ValueError, match="needs `labels_key`"):
        SCDual.setup_anndata(adata, unlabeled_category="Unknown")


def test_labels_leave_the_embedding_alone_unless_weighted(adata: AnnData) -> None:
    latent = []
    for labels_key in (None, "cell_type"):
        SCDual.setup_anndata(adata, labels_key=labels_key)
        model = SCDual(adata, regulators="regulator")
        model.train(1, plan_kwargs={"lr": 0.0})
        latent.append(model.module.cell_state.state_dict().keys())
    assert latent[0] == latent[1]
