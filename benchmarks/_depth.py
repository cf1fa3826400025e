"""How much an embedding tells of the depth of cells, and of the batch among cells of one type."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from anndata import AnnData
from sklearn.neighbors import NearestNeighbors

SHARE = 0.43  # of the molecules that stay: that between the two laboratories of `pbmc_2tech`
SMALLEST = 20  # cells of a type in a batch that count
N_NEIGHBOURS = 15


def thinned(adata: AnnData, seed: int = 0) -> AnnData:
    """Return the same cells with each molecule kept with a probability of ``SHARE``."""
    less = adata.copy()
    counts = less.X.tocsr(copy=True)
    counts.data = np.random.default_rng(seed).binomial(counts.data.astype(int), SHARE).astype(np.float32)
    counts.eliminate_zeros()
    less.X = counts
    return less


def depth_share(adata: AnnData, embedding: np.ndarray) -> float:
    """Return the share of the variance within type and batch that log depth explains, all dimensions together."""
    depth = np.log(np.asarray(adata.X.sum(1)).ravel())
    explained = total = 0.0
    for cells in _groups(adata):
        z, d = embedding[cells] - embedding[cells].mean(0), depth[cells] - depth[cells].mean()
        explained += ((z.T @ d) ** 2).sum() / (d @ d)
        total += (z**2).sum()
    return explained / total


def movement(adata: AnnData, embedding: np.ndarray, of_thinned: np.ndarray) -> float:
    """Return how far centres of types in a batch move when cells are thinned, over the spread of the centres."""
    before, after = (np.stack([z[cells].mean(0) for cells in _groups(adata)]) for z in (embedding, of_thinned))
    return float(np.sqrt(((before - after) ** 2).sum(1).mean() / ((before - before.mean(0)) ** 2).sum(1).mean()))


def mixing(adata: AnnData, embedding: np.ndarray) -> float:
    """Return the share of other batches among the nearest cells of the same type over that by chance, mean of types."""
    found = []
    for _, rows in pd.Series(np.arange(adata.n_obs)).groupby(adata.obs["cell_type"].to_numpy()):
        batch = adata.obs["batch"].astype(str).to_numpy()[rows]
        share = pd.Series(batch).value_counts(normalize=True)
        if len(rows) < 2 * SMALLEST or (share > 0.03).sum() < 2:
            continue
        z = embedding[rows]
        nearest = NearestNeighbors(n_neighbors=N_NEIGHBOURS + 1).fit(z).kneighbors(z, return_distance=False)[:, 1:]
        other = (batch[nearest] != batch[:, None]).mean()
        found.append(other / (1 - share.reindex(batch).mean()))
    return float(np.mean(found)) if found else np.nan


def _groups(adata: AnnData) -> Iterator[np.ndarray]:
    """Yield the positions of the cells of a type in a batch."""
    kinds = adata.obs["cell_type"].astype(str) + "|" + adata.obs["batch"].astype(str)
    for _, rows in pd.Series(np.arange(adata.n_obs)).groupby(kinds.to_numpy()):
        if len(rows) >= SMALLEST:
            yield rows.to_numpy()
