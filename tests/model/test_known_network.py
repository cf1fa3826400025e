"""Does the default map recover a simulated network? Minutes long: `make test-slow`."""

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scvi
from anndata import AnnData
from scipy.sparse import csr_matrix
from sklearn.metrics import average_precision_score

from scdual.datasets import simulate
from scdual.grn import NetworkScores, RegulatoryNetwork, from_varp, score_network
from scdual.model import SCDual

pytestmark = pytest.mark.slow
SEEDS = [0, 1, 2]


def truth(adata: AnnData) -> pd.DataFrame:
    frame = from_varp(adata.varp["true_regulation"], adata.var_names).to_frame()
    return frame.assign(sign=np.sign(frame["weight"]))


def pearson(adata: AnnData) -> RegulatoryNetwork:
    log_expr = adata.copy()
    sc.pp.normalize_total(log_expr)
    sc.pp.log1p(log_expr)
    correlation = np.corrcoef(log_expr.X.toarray().T)
    np.fill_diagonal(correlation, 0)
    is_regulator = adata.var["regulator"].to_numpy()
    return RegulatoryNetwork(correlation[is_regulator], adata.var_names[is_regulator], adata.var_names)


def trained_map(adata: AnnData, seed: int, prior: pd.DataFrame | None = None) -> RegulatoryNetwork:
    scvi.settings.seed = seed
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator", prior=prior)
    model.train(1)  # the map is that of the first step
    return model.get_regulation()


def scores(adata: AnnData, network: RegulatoryNetwork) -> NetworkScores:
    return score_network(network, truth(adata))


@pytest.mark.parametrize("seed", SEEDS)
def test_map_is_at_least_as_good_as_correlation_and_signs_are_right(seed: int) -> None:
    adata = simulate(seed=seed)
    ours, theirs = scores(adata, trained_map(adata, seed)), scores(adata, pearson(adata))
    assert ours.auprc_ratio >= theirs.auprc_ratio
    assert ours.sign_accuracy >= 0.8


@pytest.mark.parametrize("seed", SEEDS)
def test_permuted_counts_leave_nothing(seed: int) -> None:
    adata = simulate(seed=seed)
    real = trained_map(adata, seed)
    rng = np.random.default_rng(seed)
    adata.X = csr_matrix(rng.permuted(adata.X.toarray(), axis=0))
    noise = trained_map(adata, seed)
    assert np.square(noise.weight).mean() ** 0.5 < np.square(real.weight).mean() ** 0.5 / 20
    assert not noise.called(0.05).n_edges
    assert not noise.supported(0.95).n_edges
    assert real.supported(0.95).n_edges > 500


def table(network: RegulatoryNetwork, is_chosen: np.ndarray) -> pd.DataFrame:
    row, column = is_chosen.nonzero()
    return pd.DataFrame({"source": network.regulators[row], "target": network.targets[column]})


@pytest.mark.parametrize("seed", SEEDS)
def test_a_half_true_prior_helps_beyond_itself_and_a_useless_one_does_no_harm(seed: int) -> None:
    adata = simulate(seed=seed)
    alone = trained_map(adata, seed)
    is_edge = adata.varp["true_regulation"].toarray()[adata.var_names.get_indexer(alone.regulators)] != 0
    is_pair = alone.weight != 0
    rng = np.random.default_rng(seed)
    half = is_edge & (rng.random(is_edge.shape) < 0.5)
    false = is_pair & ~is_edge & (rng.random(is_edge.shape) < half.sum() / is_pair.sum())
    useless = is_pair & (rng.random(is_edge.shape) < 2 * half.sum() / is_pair.sum())

    def gain(prior: np.ndarray) -> float:
        told = trained_map(adata, seed, table(alone, prior))
        is_new = is_pair & ~prior
        scores = [average_precision_score(is_edge[is_new], np.abs(map_.weight)[is_new]) for map_ in (told, alone)]
        return scores[0] / scores[1]

    assert gain(half | false) > 1.02
    assert gain(useless) > 0.95
