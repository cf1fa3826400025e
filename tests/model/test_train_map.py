"""The map alone: the same as that of a whole training, and nothing is told of an embedding that nobody trained."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scvi
from anndata import AnnData

from scdual import pl
from scdual.model import SCDual


@pytest.fixture
def learnt(adata: AnnData) -> SCDual:
    """Return a model that knows its map and no embedding."""
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator")
    model.train_map()
    return model


def test_the_map_is_that_of_a_whole_training(learnt: SCDual) -> None:
    alone = learnt.get_regulation()
    scvi.settings.seed = 0
    whole = SCDual(learnt.adata, regulators="regulator")
    whole.train(1)
    together = whole.get_regulation()
    np.testing.assert_allclose(alone.weight, together.weight, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(alone.evidence.sd, together.evidence.sd, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("train", ["train", "train_map"])
def test_a_map_that_is_learnt_stays_as_it_is(learnt: SCDual, train: str) -> None:
    before = learnt.get_regulation().weight
    getattr(learnt, train)(**{"max_epochs": 1} if train == "train" else {})
    np.testing.assert_array_equal(learnt.get_regulation().weight, before)
    assert learnt.is_trained is (train == "train")


ASKS_FOR_AN_EMBEDDING: dict[str, Callable[[SCDual], Any]] = {
    "embedding": SCDual.get_latent_representation,
    "expression": SCDual.get_normalized_expression,
    "gene embedding": SCDual.get_gene_embedding,
    "influence": lambda model: model.get_regulation(kind="influence"),
    "attention": lambda model: model.get_regulation(kind="attention"),
    "gate": lambda model: model.get_regulation(kind="gate"),
    "lower bound": SCDual.get_elbo,
    "likelihood": lambda model: model.get_marginal_ll(n_mc_samples=2),
    "reconstruction": SCDual.get_reconstruction_error,
    "abundance": lambda model: model.differential_abundance(sample_key="cell_type"),
    "samples": SCDual.posterior_predictive_sample,
    "shift of cells": lambda model: model.perturb({"REG01": 0}),
}


@pytest.mark.parametrize("ask", ASKS_FOR_AN_EMBEDDING.values(), ids=ASKS_FOR_AN_EMBEDDING)
def test_what_rests_on_training_is_an_error(learnt: SCDual, ask: Callable[[SCDual], Any]) -> None:
    with pytest.raises(RuntimeError, match="learnt its regulatory map alone.* train the model first"):
        ask(learnt)


def test_without_any_training_there_is_no_map(adata: AnnData) -> None:
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator")
    for ask in (model.get_regulation, model.annotate, model.train_ensemble):
        with pytest.raises(RuntimeError, match="has no regulatory map; call `train`, or `train_map`"):
            ask()


def test_annotate_writes_the_map_alone_and_takes_an_older_embedding_away(learnt: SCDual) -> None:
    learnt.adata.obsm["X_scdual"] = np.zeros((learnt.adata.n_obs, 2))
    learnt.annotate()
    assert set(learnt.adata.varp) - {"true_regulation"} == {"scdual_regulation", "scdual_sd", "scdual_support"}
    assert "X_scdual" not in learnt.adata.obsm
    assert "scdual_gene_embedding" not in learnt.adata.varm


def test_ensemble_groups_and_knock_outs_need_the_map_alone(learnt: SCDual) -> None:
    learnt.train_ensemble(2, enable_progress_bar=False)
    assert len(learnt.ensemble_networks()) == 2
    assert learnt.get_regulation(groupby="cell_type")
    assert len(learnt.perturb({"REG01": 0}, shift=False).to_frame())


def test_a_saved_map_is_read_and_repeated(learnt: SCDual, tmp_path: Path) -> None:
    assert "Map learnt, embedding not trained" in learnt.summary_string
    learnt.save(tmp_path / "model")
    read = SCDual.load(tmp_path / "model", learnt.adata)
    assert not read.is_trained
    again = SCDual.repeat(learnt.adata.copy(), tmp_path / "model")
    for other in (read, again):
        np.testing.assert_array_equal(other.get_regulation().weight, learnt.get_regulation().weight)


def test_a_training_of_the_map_that_fails_changes_nothing(adata: AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator")
    start = {name: values.clone() for name, values in model.module.state_dict().items()}

    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("scdual.module.map._regulation_map.RegulationMap._set_start", fail)
    with pytest.raises(MemoryError):
        model.train_map()
    assert not model.module.is_scaled
    assert all(values.equal(start[name]) for name, values in model.module.state_dict().items())


@pytest.mark.parametrize("learn", [None, SCDual.train_map], ids=["untrained", "map alone"])
def test_cells_cannot_be_mapped_onto_a_model_without_embedding(
    adata: AnnData, learn: Callable[[SCDual], None] | None
) -> None:
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator")
    if learn is not None:
        learn(model)
    query = adata.copy()
    before = set(query.obs)
    with pytest.raises(RuntimeError, match="reference model has no embedding onto which cells can be mapped"):
        SCDual.load_query_data(query, model)
    assert set(query.obs) == before


def test_the_curves_of_a_map_alone_are_missing(learnt: SCDual) -> None:
    with pytest.raises(TypeError, match="`history` is None, as of a model that is not trained"):
        pl.training_curves(learnt.history)
