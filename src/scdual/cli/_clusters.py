"""Cluster cells and compare the clusters with known labels, in the standard scanpy way."""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from anndata import AnnData

RESOLUTIONS = tuple(round(0.1 * step, 1) for step in range(1, 21))


class Agreement(NamedTuple):
    """Agreement of clusters with labels, 1 if they are the same partition."""

    nmi: float
    ari: float


def add_clusters(adata: "AnnData", key: str, *, seed: int) -> None:
    """Write neighbours, ``obs["leiden"]`` and ``obsm["X_umap"]``, all from ``obsm[key]``, into the AnnData."""
    import scanpy as sc

    sc.pp.neighbors(adata, use_rep=key, random_state=seed)
    _leiden(adata, 1.0, seed)
    sc.tl.umap(adata, random_state=seed)


def pca(adata: "AnnData", *, seed: int) -> "np.ndarray":
    """Return up to 50 principal components of the log-normalised counts, ``(n_obs, 50)``; the AnnData stays as it is."""
    import scanpy as sc

    cells = adata.copy()
    sc.pp.normalize_total(cells, target_sum=1e4)
    sc.pp.log1p(cells)
    sc.pp.pca(cells, random_state=seed)
    return cells.obsm["X_pca"]


def best_agreement(representation: "np.ndarray", labels: "pd.Series", *, seed: int) -> Agreement:
    """Return the best agreement of Leiden clusters with labels, for each score over all `RESOLUTIONS`."""
    import scanpy as sc
    from anndata import AnnData
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    cells = AnnData(obs=labels.to_frame("label"), obsm={"X_cells": representation})
    sc.pp.neighbors(cells, use_rep="X_cells", random_state=seed)
    scores = []
    for resolution in RESOLUTIONS:
        _leiden(cells, resolution, seed)
        clusters = cells.obs["leiden"]
        scores.append((normalized_mutual_info_score(labels, clusters), adjusted_rand_score(labels, clusters)))
    return Agreement(*(max(values) for values in zip(*scores, strict=True)))


def _leiden(adata: "AnnData", resolution: float, seed: int) -> None:
    import scanpy as sc

    sc.tl.leiden(adata, resolution=resolution, flavor="igraph", n_iterations=2, directed=False, random_state=seed)
