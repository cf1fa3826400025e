"""Embeddings to compare: each function takes counts and a seed, and returns one vector per cell."""

import logging
import warnings
from functools import partial

import numpy as np
import scanpy as sc
import scvi
from _ablations import ABLATIONS, build
from anndata import AnnData
from scvi.model import SCVI

from scdual.model import SCDual


def pca(adata: AnnData, seed: int) -> np.ndarray:
    """Return scanpy's principal components of depth-normalised log counts."""
    log_expr = adata.copy()
    sc.pp.normalize_total(log_expr)
    sc.pp.log1p(log_expr)
    sc.pp.pca(log_expr, random_state=seed)
    return log_expr.obsm["X_pca"]


def harmony(adata: AnnData, seed: int) -> np.ndarray:
    """Return principal components from which Harmony has taken the batches."""
    import harmonypy

    logging.getLogger("harmonypy").setLevel(logging.WARNING)
    return harmonypy.run_harmony(pca(adata, seed), adata.obs, ["batch"], random_state=seed, verbose=False).Z_corr


def scvi_default(adata: AnnData, seed: int) -> np.ndarray:
    """Return the embedding of scVI as it trains by default."""
    return _trained(SCVI, adata, seed)


def scdual(adata: AnnData, seed: int, *, ablation: str | None = None) -> np.ndarray:
    """Return the embedding of SCDual as it trains by default."""
    warnings.filterwarnings("ignore", message=".*genes are used as regulators")
    return _trained(partial(build, ablation=ablation), adata, seed)


def _trained(build_model: object, adata: AnnData, seed: int) -> np.ndarray:
    scvi.settings.seed = seed
    for cls in (SCVI, SCDual):
        cls.setup_anndata(adata, batch_key="batch")
    model = build_model(adata)
    model.train(enable_progress_bar=False)
    return model.get_latent_representation()


METHODS = {"pca": pca, "harmony": harmony, "scvi": scvi_default, "scdual": scdual} | {
    f"scdual, {name}": partial(scdual, ablation=name) for name in ABLATIONS
}
