"""Embeddings to compare: each function takes counts and a seed, and returns one vector per cell.

Models are also given the cells with fewer molecules and return their vectors too; other methods have none.
"""

import logging
import warnings
from functools import partial
from typing import Any

import numpy as np
import scanpy as sc
import scvi
from _ablations import ABLATIONS, build
from anndata import AnnData
from scvi.model import SCVI

from scdual.model import SCDual

Embedded = tuple[np.ndarray, np.ndarray | None]  # of cells, and of the same cells thinned


def components(adata: AnnData, seed: int) -> np.ndarray:
    """Return scanpy's principal components of depth-normalised log counts."""
    log_expr = adata.copy()
    sc.pp.normalize_total(log_expr)
    sc.pp.log1p(log_expr)
    sc.pp.pca(log_expr, random_state=seed)
    return log_expr.obsm["X_pca"]


def pca(adata: AnnData, _: AnnData, seed: int) -> Embedded:
    """Return principal components."""
    return components(adata, seed), None


def harmony(adata: AnnData, _: AnnData, seed: int) -> Embedded:
    """Return principal components from which Harmony has taken the batches."""
    import harmonypy

    logging.getLogger("harmonypy").setLevel(logging.WARNING)
    found = harmonypy.run_harmony(components(adata, seed), adata.obs, ["batch"], random_state=seed, verbose=False)
    return found.Z_corr, None


def scvi_default(adata: AnnData, thinned: AnnData, seed: int) -> Embedded:
    """Return the embedding of scVI as it trains by default."""
    return _trained(SCVI, adata, thinned, seed)


def scdual(adata: AnnData, thinned: AnnData, seed: int, *, ablation: str | None = None) -> Embedded:
    """Return the embedding of SCDual as it trains by default."""
    warnings.filterwarnings("ignore", message=".*genes are used as regulators")
    return _trained(partial(build, ablation=ablation), adata, thinned, seed)


def _trained(build_model: Any, adata: AnnData, thinned: AnnData, seed: int) -> Embedded:
    scvi.settings.seed = seed
    for cls in (SCVI, SCDual):
        cls.setup_anndata(adata, batch_key="batch")
    model = build_model(adata)
    model.train(enable_progress_bar=False)
    return model.get_latent_representation(), model.get_latent_representation(thinned)


METHODS = {"pca": pca, "harmony": harmony, "scvi": scvi_default, "scdual": scdual} | {
    f"scdual, {name}": partial(scdual, ablation=name) for name in ABLATIONS
}
