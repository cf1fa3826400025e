"""An ensemble adds evidence to the map and changes nothing else."""

from pathlib import Path

import numpy as np
import pytest
import scvi
from anndata import AnnData

from scdual.datasets import simulate
from scdual.model import SCDual


@pytest.fixture(scope="module")
def adata() -> AnnData:
    return simulate(400, 30, n_regulators=4, edges_per_target=(1, 2), library_size=2_000, seed=3)


@pytest.fixture(scope="module")
def model(adata: AnnData) -> SCDual:
    scvi.settings.seed = 0
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator", n_hidden=16)
    model.train(4, enable_progress_bar=False)
    return model


@pytest.fixture(scope="module")
def trained(model: SCDual) -> SCDual:
    model.train_ensemble(3, enable_progress_bar=False)
    return model


def test_weights_embedding_and_data_stay(adata: AnnData, model: SCDual) -> None:
    counts, before, latent = adata.X.copy(), model.get_regulation(), model.get_latent_representation()
    model.train_ensemble(2, enable_progress_bar=False)
    after = model.get_regulation()
    np.testing.assert_array_equal(before.weight, after.weight)
    np.testing.assert_array_equal(before.evidence.n_cells, after.evidence.n_cells)
    assert set(np.unique(after.evidence.support)) <= {0, 0.5, 1}  # a share of two members
    assert len(np.unique(before.evidence.support)) > 3
    np.testing.assert_array_equal(latent, model.get_latent_representation())
    assert (counts != adata.X).sum() == 0
    assert model.get_regulation(kind="gate").evidence is None


def test_true_edges_are_called_with_support(adata: AnnData, trained: SCDual) -> None:
    network = trained.get_regulation()
    assert network.evidence is not None
    rows = adata.var_names.get_indexer(network.regulators)
    true = adata.varp["true_regulation"].toarray()[rows] != 0
    hit = network.called(0.05).weight != 0
    assert hit[true].mean() > 0.8
    assert hit[~true].mean() < hit[true].mean()
    assert network.evidence.support[hit].mean() > 0.9
    assert 0 < network.evidence.sd[hit].mean() < np.abs(network.weight[hit]).mean()


def test_members_are_read_as_networks(trained: SCDual) -> None:
    networks, network = trained.ensemble_networks(), trained.get_regulation()
    assert len(networks) == 3
    weights = np.stack([member.weight for member in networks])
    assert all(member.targets.equals(network.targets) for member in networks)
    np.testing.assert_allclose(weights.std(axis=0, ddof=1), network.evidence.sd, rtol=1e-4, atol=1e-6)
    some = trained.ensemble_networks(indices=[0, 1, 2])
    assert not np.allclose(some[0].weight, weights[0])


def test_without_an_ensemble_there_are_no_members(adata: AnnData) -> None:
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator", n_hidden=16)
    model.train(1, enable_progress_bar=False)
    with pytest.raises(RuntimeError, match=r"no ensemble; call `train_ensemble` first"):
        model.ensemble_networks()


def test_fewer_edges_beat_genes_permuted_within_cell_types(trained: SCDual) -> None:
    n_over_all = trained.get_regulation().called().n_edges
    trained.train_ensemble(2, permute_within="cell_type", enable_progress_bar=False)
    assert trained.get_regulation().called().n_edges < 0.8 * n_over_all
    with pytest.raises(KeyError, match="permute_within='type'"):
        trained.train_ensemble(2, permute_within="type")


def test_each_group_has_evidence_of_its_own(adata: AnnData, trained: SCDual) -> None:
    networks = trained.get_regulation(groupby="cell_type")
    evidence = [network.evidence for network in networks.values()]
    assert not np.allclose(evidence[0].sd, evidence[1].sd)


def test_evidence_survives_saving(tmp_path: Path, adata: AnnData, trained: SCDual) -> None:
    expected = trained.get_regulation().evidence
    trained.save(tmp_path / "model")
    found = SCDual.load(tmp_path / "model", adata).get_regulation().evidence
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_permuted_counts_get_no_call() -> None:
    scvi.settings.seed = 0
    rng = np.random.default_rng(0)
    adata = AnnData(rng.poisson(2.0, (500, 30)).astype(np.float32))
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators=list(adata.var_names[:8]), n_hidden=16)
    model.train(4, enable_progress_bar=False, train_size=1.0)
    model.train_ensemble(2, enable_progress_bar=False)
    assert model.get_regulation().called(0.05).n_edges == 0


def test_training_again_forgets_the_ensemble(adata: AnnData) -> None:
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator", n_hidden=16)
    model.train(1, enable_progress_bar=False)
    model.train_ensemble(2, enable_progress_bar=False)
    model.train(1, enable_progress_bar=False)
    assert model.ensemble_ == []
    with pytest.raises(RuntimeError, match="no ensemble"):
        model.ensemble_networks()


def test_bad_calls_are_explained(adata: AnnData, model: SCDual) -> None:
    with pytest.raises(ValueError, match="`n_ensemble` is 1, expected a whole number of at least 2"):
        model.train_ensemble(1)
    SCDual.setup_anndata(adata)
    with pytest.raises(RuntimeError, match="train"):
        SCDual(adata, regulators="regulator").train_ensemble()


def test_a_member_is_trained_on_one_device(adata: AnnData) -> None:
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator")
    model.train_map()
    with pytest.raises(ValueError, match="a member of an ensemble is trained on one device; pass `devices=1`"):
        model.train_ensemble(2, devices=2)


def test_one_cell_has_no_halves(adata: AnnData) -> None:
    one = adata[:1].copy()
    SCDual.setup_anndata(one)
    model = SCDual(one, regulators="regulator", min_cells=0)
    model.train_map()
    with pytest.raises(ValueError, match="random halves of the cells, but the data have one cell"):
        model.train_ensemble(2, enable_progress_bar=False)
    assert not model.ensemble_
