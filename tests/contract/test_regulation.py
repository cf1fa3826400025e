"""What a user of scvi-tools expects of the regulatory map."""

import subprocess
import sys
from pathlib import Path

import anndata
import numpy as np
import pytest
import scvi
import torch
from anndata import AnnData
from scipy.sparse import issparse
from sklearn.metrics import average_precision_score

from scdual.datasets import simulate
from scdual.model import SCDual

KINDS = pytest.mark.parametrize("kind", ["regulation", "attention", "gate", "consensus"])
MANY_GENES = """
import resource, sys
import numpy as np, torch
from anndata import AnnData
from scipy.sparse import random as random_sparse
from scdual.model import SCDual

torch.set_num_threads(1)
counts = random_sparse(300, 2000, density=0.2, format="csr", random_state=0, data_rvs=lambda n: np.ones(n))
adata = AnnData(counts.astype(np.float32))
SCDual.setup_anndata(adata)
model = SCDual(adata, regulators=None)
model.is_trained = True
model.module.map.values.scale.is_fitted.fill_(True)  # what it knows does not matter
model.module.eval()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
weight = model.get_regulation(kind="influence").weight
print("RESULT", *weight.shape, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.fixture(scope="module")
def annotated() -> AnnData:
    """Do not change these data: other tests of the file use them."""
    scvi.settings.seed = 0
    data = simulate(150, 36, n_regulators=6, n_batches=2)
    SCDual.setup_anndata(data, batch_key="batch")
    model = SCDual(data, regulators="regulator")
    model.train(2)
    model.annotate()
    return data


def with_genes_in_order(model: SCDual, order: np.ndarray) -> SCDual:
    """Return a model of the same data with genes in another order, and the weights that belong to each gene."""
    data = model.adata[:, order].copy()
    SCDual.setup_anndata(data)
    twin = SCDual(data, regulators="regulator")
    regulators = [model.regulators.index(name) for name in twin.regulators]
    places = {len(model.gene_names): order, len(regulators): np.array(regulators)}  # by length of the axis
    state = {}
    for name, values in model.module.state_dict().items():
        for axis, size in enumerate(values.shape):
            if size in places:
                values = values.index_select(axis, torch.from_numpy(places[size]))
        state[name] = values
    state["map.values.regulator_index"] = twin.module.map.regulator_index.clone()
    twin.module.load_state_dict(state)
    twin.module.eval()
    twin.is_trained = True
    return twin


@pytest.fixture(scope="module")
def twins() -> tuple[SCDual, SCDual]:
    scvi.settings.seed = 0
    data = simulate(300, 37, n_regulators=11, library_size=200)  # no other axis of the weights has these lengths
    SCDual.setup_anndata(data)
    model = SCDual(data, regulators="regulator")
    model.train(1)
    return model, with_genes_in_order(model, np.random.default_rng(2).permutation(37))


@KINDS
def test_genes_in_another_order_have_the_same_network_in_that_order(twins: tuple[SCDual, SCDual], kind: str) -> None:
    networks = [model.get_regulation(kind=kind) for model in twins]
    rows = [list(networks[0].regulators).index(name) for name in networks[1].regulators]
    columns = [list(networks[0].targets).index(name) for name in networks[1].targets]
    np.testing.assert_allclose(networks[1].weight, networks[0].weight[np.ix_(rows, columns)], atol=1e-5)
    assert not np.allclose(networks[1].weight, networks[0].weight, atol=1e-5)


def test_genes_in_another_order_have_the_same_matrix_in_that_order(twins: tuple[SCDual, SCDual]) -> None:
    for model in twins:
        model.annotate()
    data, other = (model.adata for model in twins)
    sorted_again = other[:, data.var_names].varp["scdual_regulation"].toarray()
    np.testing.assert_allclose(sorted_again, data.varp["scdual_regulation"].toarray(), atol=1e-5)


@KINDS
def test_the_size_of_minibatches_does_not_change_the_network(trained: SCDual, kind: str) -> None:
    expected = trained.get_regulation(kind=kind).weight
    for batch_size in (1, 7, 150):
        found = trained.get_regulation(kind=kind, batch_size=batch_size).weight
        np.testing.assert_allclose(found, expected, atol=1e-5)


@KINDS
def test_the_order_of_cells_does_not_change_the_network(trained: SCDual, kind: str) -> None:
    order = np.random.default_rng(0).permutation(150)
    expected = trained.get_regulation(kind=kind).weight
    np.testing.assert_allclose(trained.get_regulation(kind=kind, indices=order).weight, expected, atol=1e-5)
    shuffled = trained.adata[order].copy()
    np.testing.assert_allclose(trained.get_regulation(shuffled, kind=kind).weight, expected, atol=1e-5)


def test_the_matrix_is_sparse_and_genes_by_genes(annotated: AnnData) -> None:
    matrix = annotated.varp["scdual_regulation"]
    assert issparse(matrix)
    assert matrix.shape == (36, 36)
    assert np.isfinite(matrix.data).all()


def test_only_rows_of_regulators_are_filled(annotated: AnnData) -> None:
    filled = np.asarray((annotated.varp["scdual_regulation"] != 0).sum(axis=1)).ravel() > 0
    np.testing.assert_array_equal(filled, annotated.var["regulator"])


def test_no_gene_regulates_itself(annotated: AnnData) -> None:
    for key in ("scdual_regulation", "scdual_attention", "scdual_gate"):
        assert (annotated.varp[key].diagonal() == 0).all()


def test_attention_is_not_negative_and_regulation_has_both_signs(trained: SCDual) -> None:
    assert (trained.get_regulation(kind="attention").weight >= 0).all()
    assert set(np.sign(trained.get_regulation().weight).ravel()) == {-1, 0, 1}


def test_the_matrix_holds_the_network_by_name(annotated: AnnData, trained: SCDual) -> None:
    network = trained.get_regulation()
    data = simulate(150, 36, n_regulators=6, n_batches=2)
    trained.annotate(data)
    rows, columns = data.var_names.get_indexer(network.regulators), data.var_names.get_indexer(network.targets)
    found = data.varp["scdual_regulation"].toarray()[np.ix_(rows, columns)]
    np.testing.assert_allclose(found, network.weight, atol=1e-6)


def test_the_matrix_survives_a_file(annotated: AnnData, tmp_path: Path) -> None:
    annotated.write_h5ad(tmp_path / "cells.h5ad")
    read = anndata.read_h5ad(tmp_path / "cells.h5ad")
    assert (read.varp["scdual_regulation"] != annotated.varp["scdual_regulation"]).nnz == 0


def test_the_matrix_survives_a_copy(annotated: AnnData) -> None:
    copy = annotated.copy()
    assert copy.varp["scdual_regulation"] is not annotated.varp["scdual_regulation"]
    assert (copy.varp["scdual_regulation"] != annotated.varp["scdual_regulation"]).nnz == 0


def test_the_matrix_follows_a_choice_of_genes(annotated: AnnData) -> None:
    chosen = [30, 2, 17, 0]
    expected = annotated.varp["scdual_regulation"].toarray()[np.ix_(chosen, chosen)]
    np.testing.assert_array_equal(annotated[:, chosen].copy().varp["scdual_regulation"].toarray(), expected)


@pytest.mark.parametrize("kind", ["attention", "gate"])
def test_the_network_of_a_group_is_the_mean_over_its_cells(trained: SCDual, adata: AnnData, kind: str) -> None:
    adata.obs["kind"] = np.where(np.arange(150) < 8, "first", "others")
    found = trained.get_regulation(adata, groupby="kind", kind=kind)["first"].weight
    single = [trained.get_regulation(adata, indices=[cell], kind=kind).weight for cell in range(8)]
    np.testing.assert_allclose(found, np.mean(single, axis=0), atol=1e-5)


def test_the_influence_in_chosen_cells_is_the_mean_over_them(trained: SCDual) -> None:
    chosen = [4, 17, 90, 140]
    single = [trained.get_regulation(indices=[cell], kind="influence").weight for cell in chosen]
    found = trained.get_regulation(indices=chosen, kind="influence").weight
    np.testing.assert_allclose(found, np.mean(single, axis=0), atol=1e-5)


def test_a_planted_network_is_found() -> None:
    scvi.settings.seed = 0
    data = simulate(600, 60, n_regulators=10, library_size=1_000)
    SCDual.setup_anndata(data)
    model = SCDual(data, regulators="regulator")
    model.train(5)
    network = model.get_regulation()
    place = data.var_names.get_indexer
    truth = data.varp["true_regulation"].toarray()[np.ix_(place(network.regulators), place(network.targets))]
    candidate = np.asarray(network.regulators)[:, None] != np.asarray(network.targets)
    is_edge = (truth != 0)[candidate]
    assert average_precision_score(is_edge, np.abs(network.weight)[candidate]) > 2 * is_edge.mean()
    assert (np.sign(network.weight) == np.sign(truth))[truth != 0].mean() > 0.8


@pytest.mark.slow
def test_a_map_of_many_genes_fits_into_little_memory() -> None:
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", MANY_GENES], capture_output=True, text=True, check=True)
    (result,) = (line.split()[1:] for line in run.stdout.splitlines() if line.startswith("RESULT"))
    assert result[:2] == ["2000", "2000"]
    assert float(result[2]) < 600  # MiB; cells x genes x regulators would be 4.5 GiB
