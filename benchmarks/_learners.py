"""Networks of whole data sets by method, for the scripts that compare lists of edges."""

import importlib
import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
from _cells import DATA
from _grn_data import HUMAN_TFS, DataSet, dense, listed_genes
from anndata import AnnData, read_h5ad

from scdual.grn import RegulatoryNetwork

MOUSE_TFS = "tfs_mouse_mgi_pyscenic.txt"
MODULES = dict.fromkeys(("pearson", "spearman", "genie3", "grnboost2", "regdiffusion"), "_grn_baselines")
MODULES |= dict.fromkeys(("scdual", "scdual_by_support"), "_grn_scdual")  # loaded only where it is needed
NEEDS = {"regdiffusion": "regdiffusion"}  # a package that may be absent


def available(methods: list[str]) -> list[str]:
    """Return the methods that can run, and say which cannot."""
    absent = [name for name in methods if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None]
    for name in absent:
        print(f"{name} is not installed and is left out: pip install --group bench")
    return [name for name in methods if name not in absent]


def learn(method: str, data: DataSet) -> RegulatoryNetwork:
    """Return the network that a method with its own defaults learns, self pairs 0."""
    function = "scdual_map" if method == "scdual" else method  # more training would not change the map
    weight = getattr(importlib.import_module(MODULES[method]), function)(data)[method]
    return RegulatoryNetwork(weight * data.pair_mask, data.regulators, data.genes)


def all_genes(adata: AnnData, organism: str = "human") -> DataSet:
    """Return all genes of counts, with the listed transcription factors of the organism as regulators."""
    listed = listed_genes(DATA / "priors" / (HUMAN_TFS if organism == "human" else MOUSE_TFS))
    genes = pd.Index(adata.var_names)
    return DataSet(dense(adata), True, genes, genes[genes.isin(listed)], {})


def read_counts(name: str) -> AnnData:
    """Return the counts of a set of cells, labelled or perturbed."""
    found: list[Path] = [path for folder in ("cells", "perturb") if (path := DATA / folder / f"{name}.h5ad").is_file()]
    return read_h5ad(found[0])


def expressing(data: DataSet) -> np.ndarray:
    """Return whether a cell expresses a gene, cells by genes."""
    return data.values > 0
