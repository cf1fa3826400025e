from collections.abc import Callable
from dataclasses import replace

import anndata
import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from anndata import AnnData
from scipy.sparse import csr_matrix, issparse

from scdual._constants import evidence_key
from scdual.datasets import simulate
from scdual.grn import RegulatoryNetwork, consensus_network, from_varp
from scdual.model import SCDual
from scdual.module.map import correlation

KINDS = ("regulation", "attention", "gate", "consensus")


def table(network: RegulatoryNetwork) -> pd.DataFrame:
    return pd.DataFrame(network.weight, network.regulators, network.targets)


def cosine(embedding: np.ndarray) -> np.ndarray:
    unit = embedding / np.linalg.norm(embedding, axis=1, keepdims=True)
    return unit @ unit.T


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_regulators_and_columns_all_genes_in_order(trained: SCDual, kind: str) -> None:
    network = trained.get_regulation(kind=kind)
    assert list(network.targets) == list(trained.adata.var_names)
    assert list(network.regulators) == trained.regulators
    assert network.group is None
    weight = table(network)
    assert np.isfinite(weight.to_numpy()).all()
    assert all(weight.loc[name, name] == 0 for name in trained.regulators)
    assert np.count_nonzero(weight) == weight.size - len(trained.regulators)


def test_attention_is_not_negative_and_gates_lie_between_minus_one_and_one(trained: SCDual) -> None:
    attention, gate = (trained.get_regulation(kind=kind).weight for kind in ("attention", "gate"))
    assert (attention >= 0).all()
    assert (np.abs(gate) <= 1).all()
    assert (gate > 0).any()
    assert (gate < 0).any()


@pytest.mark.parametrize("kind", KINDS)
def test_minibatches_and_the_order_of_cells_do_not_matter(trained: SCDual, kind: str) -> None:
    weight = trained.get_regulation(kind=kind).weight
    shuffled = trained.adata[::-1].copy()
    for other in (
        trained.get_regulation(kind=kind, batch_size=7),
        trained.get_regulation(shuffled, kind=kind),
        trained.get_regulation(kind=kind, indices=np.arange(150)[::-1]),
    ):
        np.testing.assert_allclose(other.weight, weight, atol=1e-5)
    some = trained.get_regulation(kind=kind, indices=np.arange(100)).weight
    for other in (
        trained.get_regulation(kind=kind, indices=np.arange(100)[::-1], batch_size=7),
        trained.get_regulation(shuffled, kind=kind, indices=np.arange(50, 150)),
    ):
        np.testing.assert_allclose(other.weight, some, atol=1e-5)


def test_targets_in_several_chunks_give_the_same_maps(trained: SCDual, monkeypatch: pytest.MonkeyPatch) -> None:
    weight = trained.get_regulation().weight
    chunked = replace(trained.module.map.settings, target_chunk=5)
    monkeypatch.setattr(trained.module.map, "settings", chunked)
    np.testing.assert_allclose(trained.get_regulation().weight, weight, atol=1e-5)


@pytest.mark.parametrize("kind", ["attention", "gate"])
def test_attention_and_gate_of_all_cells_are_the_means_of_their_groups(trained: SCDual, kind: str) -> None:
    groups = trained.get_regulation(groupby="cell_type", kind=kind)
    sizes = trained.adata.obs["cell_type"].value_counts()
    assert list(groups) == list(trained.adata.obs["cell_type"].cat.categories)
    assert all(network.group == name for name, network in groups.items())
    mean = sum(sizes[name] * network.weight for name, network in groups.items()) / sizes.sum()
    np.testing.assert_allclose(mean, trained.get_regulation(kind=kind).weight, atol=1e-5)


def test_consensus_has_the_signs_of_the_regulation_and_ranks_by_correlation_too(trained: SCDual) -> None:
    regulation, consensus = trained.get_regulation(), trained.get_regulation(kind="consensus")
    np.testing.assert_array_equal(np.sign(consensus.weight), np.sign(regulation.weight))
    loader = trained._make_data_loader(trained.adata, batch_size=50)
    expected = consensus_network(regulation, correlation(trained.module.map, trained.module.map_batches(loader)).T)
    np.testing.assert_allclose(consensus.weight, expected.weight, atol=1e-5)


def test_consensus_of_a_group_is_that_of_its_own_map_and_cells(trained: SCDual) -> None:
    by_group = trained.get_regulation(groupby="cell_type", kind="consensus")
    for name, regulation in trained.get_regulation(groupby="cell_type").items():
        cells = np.flatnonzero(trained.adata.obs["cell_type"] == name)
        loader = trained._make_data_loader(trained.adata, indices=cells)
        expected = consensus_network(regulation, correlation(trained.module.map, trained.module.map_batches(loader)).T)
        np.testing.assert_allclose(by_group[name].weight, expected.weight, atol=1e-5)
        assert by_group[name].group == name


def test_a_map_is_the_mean_over_single_cells(trained: SCDual) -> None:
    chosen = [4, 40, 140]
    single = [trained.get_regulation(indices=[cell], kind="influence").weight for cell in chosen]
    found = trained.get_regulation(indices=chosen, kind="influence").weight
    np.testing.assert_allclose(found, np.mean(single, axis=0), atol=1e-5)
    assert not np.allclose(single[0], single[1], atol=1e-6)


def test_a_single_chosen_cell_has_no_map(trained: SCDual) -> None:
    with pytest.raises(ValueError, match="The 1 cells of `indices` have no map, because no regulator varies in them"):
        trained.get_regulation(indices=[4])


def test_an_unknown_group_column_is_named_with_those_there_are(trained: SCDual) -> None:
    with pytest.raises(KeyError, match=r"groupby='nope'.*'cell_type', 'batch'"):
        trained.get_regulation(groupby="nope")


def permute_genes(state: dict[str, torch.Tensor], model: SCDual, order: np.ndarray) -> dict[str, torch.Tensor]:
    """Return weights of a model whose genes are in another order: every axis over genes or regulators is permuted."""
    n_genes, n_regulators = model.module.n_input, len(model.regulators)
    place = torch.as_tensor(order)  # new position -> old
    old = model.module.map.regulator_index.tolist()
    new = [gene for gene in order.tolist() if gene in old]
    regulator_place = torch.tensor([old.index(gene) for gene in new])
    permuted = {}
    for key, tensor in state.items():
        for axis, size in enumerate(tensor.shape):
            if size == n_genes:
                tensor = tensor.index_select(axis, place)
            elif size == n_regulators:
                tensor = tensor.index_select(axis, regulator_place)
        permuted[key] = tensor
    permuted["map.values.regulator_index"] = torch.tensor([order.tolist().index(gene) for gene in new])
    return permuted


def test_genes_in_another_order_give_the_same_network_in_that_order() -> None:
    # 37 genes and 7 regulators: no other axis of the weights has these lengths
    adata = simulate(150, 37, n_regulators=7)
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator")
    model.train(2)
    order = np.random.default_rng(1).permutation(37)
    other = AnnData(adata.X[:, order].copy(), obs=adata.obs.copy(), var=adata.var.iloc[order].copy())
    SCDual.setup_anndata(other)
    twin = SCDual(other, regulators="regulator")
    twin.module.load_state_dict(permute_genes(model.module.state_dict(), model, order))
    twin.module.eval()
    twin.is_trained = True
    for kind in KINDS:
        expected = table(model.get_regulation(kind=kind))
        found = table(twin.get_regulation(kind=kind)).loc[expected.index, expected.columns]
        np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(twin.get_latent_representation(), model.get_latent_representation(), atol=1e-5)
    np.testing.assert_allclose(twin.get_gene_embedding().loc[adata.var_names], model.get_gene_embedding(), atol=1e-5)


def test_a_chain_is_read_with_its_direction_and_signs() -> None:
    chain = pd.DataFrame({"source": ["A", "B"], "target": ["B", "C"], "weight": [3.0, -3.0]})
    adata = simulate(500, 12, network=chain, library_size=2_000)
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators=["A", "B"])
    model.train_map()
    weight = table(model.get_regulation())
    assert sorted(weight.index) == ["A", "B"]
    assert weight.loc["A", "B"] > 0.1
    assert weight.loc["B", "C"] < -0.1


@pytest.mark.parametrize("regulator", ["A", "B"])
def test_only_the_named_regulators_have_rows(regulator: str) -> None:
    chain = pd.DataFrame({"source": ["A", "B"], "target": ["B", "C"], "weight": [3.0, -3.0]})
    adata = simulate(600, 8, network=chain, library_size=200)
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators=[regulator])
    model.train(1)
    assert list(model.get_regulation().regulators) == [regulator]
    model.annotate()
    rows = np.flatnonzero(np.diff(adata.varp["scdual_regulation"].indptr))
    assert list(adata.var_names[rows]) == [regulator]


def test_genes_with_the_same_regulators_lie_closer_than_unrelated_ones() -> None:
    adata = simulate(600, 40, n_regulators=4, edges_per_target=(1, 2), library_size=2_000)
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator")
    model.train(12, train_size=1.0, batch_size=64)
    embedding = model.get_gene_embedding()
    assert list(embedding.index) == list(adata.var_names)
    sign = np.sign(adata.varp["true_regulation"].toarray())
    is_target = ~adata.var["regulator"].to_numpy()
    is_pair = np.triu(np.outer(is_target, is_target), 1)
    shared, related = sign.T @ sign, abs(sign).T @ abs(sign)
    similarity = cosine(embedding.to_numpy())
    alike = similarity[is_pair & (shared > 0)].mean()
    unrelated = similarity[is_pair & (related == 0)].mean()
    assert alike > unrelated + 0.02


def test_annotate_writes_every_result_with_its_type(adata: AnnData) -> None:
    SCDual.setup_anndata(adata, batch_key="batch")
    model = SCDual(adata, regulators="regulator")
    model.train(1)
    model.annotate(groupby="cell_type")
    assert adata.obsm["X_scdual"].dtype == np.float32
    np.testing.assert_allclose(adata.obsm["X_scdual"], model.get_latent_representation(), atol=1e-5)
    is_regulator = adata.var_names.isin(model.regulators)
    expected = {f"scdual_{kind}": model.get_regulation(kind=kind) for kind in KINDS if kind != "consensus"}
    groups = model.get_regulation(groupby="cell_type")
    expected |= {f"scdual_regulation_{name}": network for name, network in groups.items()}
    evidence = {evidence_key(key, name) for key in expected if "regulation" in key for name in ("sd", "support")}
    assert set(expected) | evidence | {"true_regulation"} == set(adata.varp)
    for key, network in expected.items():
        matrix = adata.varp[key]
        assert isinstance(matrix, csr_matrix)
        assert matrix.dtype == np.float32
        assert matrix.shape == (36, 36)
        np.testing.assert_allclose(matrix.toarray()[is_regulator], network.weight, atol=1e-5)
        assert not matrix.toarray()[~is_regulator].any()
        assert not matrix.diagonal().any()
    assert adata.varm["scdual_gene_embedding"].dtype == np.float32
    np.testing.assert_array_equal(adata.varm["scdual_gene_embedding"], model.get_gene_embedding())
    assert adata.var["scdual_regulator"].dtype == bool
    np.testing.assert_array_equal(adata.var["scdual_regulator"], is_regulator)
    about = adata.uns["scdual"]
    assert about["orientation"] == "row = regulator, column = target"
    assert about["groups"] == {f"scdual_regulation_{name}": name for name in groups}
    assert about["setup"] == {"batch_key": "batch", "require_counts": "True"}
    assert (about["seed"], about["n_epochs"], about["n_regulators"], about["groupby"]) == (0, 1, 6, "cell_type")
    assert about["model"]["n_latent"] == model.module.n_latent


def same(found: object, expected: object) -> bool:
    if isinstance(expected, dict):
        return set(found) == set(expected) and all(same(found[key], expected[key]) for key in expected)
    if issparse(expected):
        return issparse(found) and found.dtype == expected.dtype and (found != expected).nnz == 0
    return np.array_equal(found, expected)


def test_annotations_survive_a_file(adata: AnnData, tmp_path: object) -> None:
    adata.obs["kind"] = pd.Categorical(["T/NK", "B cell", "mono 2.1"] * 50)  # a slash means a folder in HDF5
    SCDual.setup_anndata(adata, batch_key="batch", continuous_covariate_keys=None, labels_key="cell_type")
    prior = pd.DataFrame({"source": ["REG01"], "target": ["GENE001"]})
    model = SCDual(adata, regulators="regulator", prior=prior)
    model.train(1)
    model.annotate(groupby="kind")
    adata.write_h5ad(tmp_path / "cells.h5ad")
    read = anndata.read_h5ad(tmp_path / "cells.h5ad")
    for slot in ("obsm", "varp", "varm", "uns"):
        assert set(getattr(read, slot)) == set(getattr(adata, slot))
        for key, expected in getattr(adata, slot).items():
            assert same(getattr(read, slot)[key], expected), f"{slot}[{key!r}]"
    pd.testing.assert_frame_equal(read.var, adata.var)
    assert {"scdual_regulation_T%2FNK", "scdual_regulation_B cell", "scdual_regulation_mono 2.1"} <= set(read.varp)


def test_a_failing_annotation_changes_nothing(trained: SCDual, adata: AnnData) -> None:
    trained.get_latent_representation(adata)  # the bookkeeping of scvi-tools
    before = adata.copy()
    with pytest.raises(KeyError, match="nope"):
        trained.annotate(adata, groupby="nope")
    for slot in ("obsm", "varp", "varm", "uns", "layers"):
        assert set(getattr(adata, slot)) == set(getattr(before, slot))
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    pd.testing.assert_frame_equal(adata.var, before.var)


def test_other_data_can_be_annotated(trained: SCDual) -> None:
    other = trained.adata[20:70].copy()
    trained.annotate(other)
    expected = trained.get_regulation().weight  # the map is that of the cells of the training
    is_regulator = other.var["scdual_regulator"].to_numpy()
    np.testing.assert_allclose(other.varp["scdual_regulation"].toarray()[is_regulator], expected, atol=1e-5)
    assert "X_scdual" not in trained.adata.obsm
    assert "groups" not in other.uns["scdual"]


def test_a_second_annotation_replaces_the_first(adata: AnnData) -> None:
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator")
    model.train(1)
    model.annotate()
    first = adata.obsm["X_scdual"].copy()
    model.train(2, plan_kwargs={"lr": 0.01})
    model.annotate()
    assert not np.allclose(adata.obsm["X_scdual"], first)
    assert adata.uns["scdual"]["n_epochs"] == 3


def test_without_a_seed_the_parameters_say_so(adata: AnnData, tmp_path: object) -> None:
    scvi.settings._seed = None
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator")
    model.train(1)
    model.annotate()
    assert adata.uns["scdual"]["seed"] == "not set"
    adata.write_h5ad(tmp_path / "cells.h5ad")


def test_a_prior_that_the_data_bear_out_strengthens_its_edges_and_another_one_does_nothing(adata: AnnData) -> None:
    true = from_varp(adata.varp["true_regulation"], adata.var_names).to_frame()
    true["weight"] = np.sign(true["weight"])
    known = set(zip(true["source"], true["target"], strict=True))
    pairs = [(f"REG0{i}", gene) for i in range(1, 7) for gene in adata.var_names if gene != f"REG0{i}"]
    false = pd.DataFrame([pair for pair in pairs if pair not in known][::3], columns=["source", "target"])
    SCDual.setup_anndata(adata)

    def weights(prior: pd.DataFrame | None) -> pd.DataFrame:
        scvi.settings.seed = 0
        model = SCDual(adata, regulators="regulator", prior=prior, prior_weight=2.0)
        model.train(2)
        return table(model.get_regulation())

    free, told, misled = weights(None), weights(true), weights(false)
    strength = [
        np.mean([weight * frame.loc[source, target] for source, target, weight in true.itertuples(index=False)])
        for frame in (free, told)
    ]
    assert strength[1] > 1.1 * strength[0]
    assert np.corrcoef(free.to_numpy().flatten(), misled.to_numpy().flatten())[0, 1] > 0.99


def test_what_a_trusted_prior_says_counts_in_every_map(adata: AnnData) -> None:
    true = from_varp(adata.varp["true_regulation"], adata.var_names).to_frame()[["source", "target"]]
    SCDual.setup_anndata(adata)
    scvi.settings.seed = 0
    model = SCDual(adata, regulators="regulator", prior=true)
    model.train(2)
    model.train_ensemble(2)
    factor = model.module.map.prior_factor.numpy().copy().T
    assert factor.std() > 0.1

    def everything() -> list[RegulatoryNetwork]:
        return [model.get_regulation(), *model.get_regulation(groupby="cell_type").values()]

    told = everything()
    model.module.map.prior_factor.fill_(1.0)
    for with_reach, without in zip(told, everything(), strict=True):
        np.testing.assert_allclose(with_reach.weight, without.weight * factor, rtol=1e-5)
        np.testing.assert_allclose(with_reach.evidence.sd, without.evidence.sd * factor, rtol=1e-4, atol=1e-9)
        np.testing.assert_array_equal(with_reach.evidence.support, without.evidence.support)


@pytest.mark.parametrize("read", [SCDual.get_regulation, SCDual.get_latent_representation])
def test_reading_twice_gives_the_same(trained: SCDual, read: Callable[[SCDual], object]) -> None:
    first, second = read(trained), read(trained)
    first, second = (getattr(value, "weight", value) for value in (first, second))
    np.testing.assert_array_equal(first, second)
