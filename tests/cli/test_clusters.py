"""Clusters and their agreement with labels, as scanpy and scikit-learn compute them."""

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData

from scdual.cli._clusters import RESOLUTIONS, add_clusters, best_agreement, pca
from scdual.datasets import simulate


@pytest.fixture(scope="module")
def blobs() -> tuple[np.ndarray, pd.Series]:
    """Return three well separated groups of cells and their names."""
    rng = np.random.default_rng(0)
    label = np.repeat(list("abc"), 40)
    centre = np.repeat(np.eye(3) * 50, 40, axis=0)
    names = pd.Series(pd.Categorical(label), index=[f"cell_{i}" for i in range(120)])
    return centre + rng.normal(size=(120, 3)), names


def test_separate_groups_agree_fully(blobs: tuple[np.ndarray, pd.Series]) -> None:
    assert best_agreement(*blobs, seed=0) == pytest.approx((1.0, 1.0))


def test_noise_agrees_little(blobs: tuple[np.ndarray, pd.Series]) -> None:
    noise = np.random.default_rng(1).normal(size=(120, 3))
    assert best_agreement(noise, blobs[1], seed=0).ari < 0.1


def test_grid_is_the_announced_one() -> None:
    np.testing.assert_allclose(RESOLUTIONS, np.linspace(0.1, 2.0, 20))


def test_pca_is_the_scanpy_standard_and_leaves_the_counts() -> None:
    adata = simulate(n_obs=80, n_vars=60)
    before = adata.X.copy()
    found = pca(adata, seed=0)
    expected = adata.copy()
    sc.pp.normalize_total(expected, target_sum=1e4)
    sc.pp.log1p(expected)
    centred = expected.X.toarray() - expected.X.toarray().mean(axis=0)
    singular_values = np.linalg.svd(centred, compute_uv=False)[:50]
    assert found.shape == (80, 50)
    np.testing.assert_allclose(np.linalg.norm(found, axis=0), singular_values, rtol=1e-3)
    assert (before != adata.X).nnz == 0
    assert set(adata.obsm) == set()


def test_clusters_are_written_beside_the_cells(blobs: tuple[np.ndarray, pd.Series]) -> None:
    adata = AnnData(obs=blobs[1].to_frame("label"), obsm={"X_cells": blobs[0]})
    add_clusters(adata, "X_cells", seed=0)
    assert adata.obsm["X_umap"].shape == (120, 2)
    pure = adata.obs.groupby("leiden", observed=True)["label"].nunique()
    assert (pure == 1).all()
