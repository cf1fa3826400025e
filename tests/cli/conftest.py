"""A file as `scdual fit` leaves it, made by hand so that no model is trained."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.sparse import csr_matrix

from scdual._constants import evidence_key, regulation_key
from scdual.grn import EdgeEvidence, RegulatoryNetwork

GENES = ["SPI1", "GATA1", "LYZ", "HBB", "CD14"]


@pytest.fixture
def network() -> RegulatoryNetwork:
    weight = np.array([[0, -0.5, 0.9, 0, 0.7], [-0.4, 0, 0, 0.8, 0]])
    sd = np.array([[0, 0.25, 0.5, 0, 0.125], [0.75, 0, 0, 0, 0]], dtype=np.float32)
    support = np.array([[0, 0.75, 1, 0, 0.875], [0, 0, 0, 0.5, 0]], dtype=np.float32)
    return RegulatoryNetwork(weight, pd.Index(GENES[:2]), pd.Index(GENES), evidence=EdgeEvidence(sd, support))


@pytest.fixture
def annotated_path(tmp_path: Path, network: RegulatoryNetwork) -> Path:
    counts = csr_matrix(np.random.default_rng(0).poisson(1, size=(12, 5)).astype(np.float32))
    adata = AnnData(counts, obs=pd.DataFrame(index=[f"cell_{i}" for i in range(12)]), var=pd.DataFrame(index=GENES))
    adata.layers["counts"] = counts.copy()
    adata.obsm["X_scdual"] = np.zeros((12, 3), dtype=np.float32)
    adata.var["scdual_regulator"] = [True, True, False, False, False]
    adata.varp["scdual_regulation"] = network.to_varp()
    adata.varp["scdual_regulation_NK"] = network.top(1).to_varp()  # without evidence, as of early versions
    key = regulation_key("CD4+/CD8+")
    adata.varp[key] = network.top(2).to_varp()
    for name in ("sd", "support"):
        adata.varp[f"scdual_{name}"] = network.to_varp(values=name)
        adata.varp[evidence_key(key, name)] = network.top(2).to_varp(values=name)
    adata.var["scdual_n_cells"] = (counts > 0).sum(axis=0).A1
    adata.uns["scdual"] = {"version": "0.1.0", "seed": 7, "parameters": {"n_latent": 3}}
    path = tmp_path / "annotated.h5ad"
    adata.write_h5ad(path)
    return path


@pytest.fixture
def counts_path(tmp_path: Path) -> Path:
    """Return the path of counts without any result."""
    adata = AnnData(np.ones((4, 3), dtype=np.float32), obs=pd.DataFrame({"batch": list("aabb")}, index=list("wxyz")))
    path = tmp_path / "counts.h5ad"
    adata.write_h5ad(path)
    return path
