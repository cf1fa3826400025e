"""Read the data sets of the network benchmark: one matrix, one list of regulators, and the reference networks."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import scanpy as sc
from _cells import DATA
from _knockouts import knockout_cells, knockout_network
from anndata import AnnData, read_h5ad

N_TOP_GENES = 1_000  # of cells whose networks come from elsewhere
HUMAN_TFS = "tfs_human_lambert2018.txt"
HUMAN_NETWORKS = ("collectri_human", "dorothea_human_ABC", "trrust_v2_human")
SIGNATURES = "perturbation_signatures"  # what disturbing a factor did to genes, in published experiments of many cells
SIGNATURE_FILE = "causal/tf_perturbation_human.csv"
HUMAN_CELLS = ("pbmc3k", "kang_ifnb")  # their references are those that hold for human cells of any kind


@dataclass(frozen=True)
class DataSet:
    """Hold what every method is given.

    Parameters
    ----------
    values
        Cells by genes: counts, or log values as they were published.
    is_counts
        Whether ``values`` are counts.
    regulators
        Listed regulators that the data hold, in the order of the genes.
    references
        Reference networks ``source, target, sign`` by name.
    seed
        Seed of the methods that draw at random.
    """

    values: np.ndarray
    is_counts: bool
    genes: pd.Index
    regulators: pd.Index
    references: dict[str, pd.DataFrame]
    seed: int = 0

    @cached_property
    def log_expr(self) -> np.ndarray:
        """Depth-normalised log1p counts, or the published values as they are."""
        if not self.is_counts:
            return self.values
        normalised = sc.pp.normalize_total(AnnData(self.values), inplace=False)["X"]
        return np.log1p(normalised)

    @cached_property
    def z_expr(self) -> np.ndarray:
        """Log values with mean 0 and standard deviation 1 per gene; a constant gene stays at 0."""
        centred = self.log_expr - self.log_expr.mean(0)
        std = centred.std(0)
        return centred / np.where(std > 0, std, 1.0)

    @cached_property
    def regulator_index(self) -> np.ndarray:
        """Positions of the regulators among the genes."""
        return self.genes.get_indexer(self.regulators)

    @cached_property
    def pair_mask(self) -> np.ndarray:
        """False where a gene meets itself, row = regulator, column = target."""
        return self.regulator_index[:, None] != np.arange(len(self.genes))

    def permuted(self, seed: int = 0) -> "DataSet":
        """Return the same data with the values of each gene permuted across cells: genes as they are, and no edges."""
        return replace(self, values=np.random.default_rng(seed).permuted(self.values, axis=0))


def load(name: str) -> DataSet:
    """Return a data set by its name: that of its folder, or human cells with networks from elsewhere, or knock-outs."""
    if name == "papalexi":
        return _knockouts()
    folder = DATA / "grn" / name
    listed = listed_genes(DATA / "priors" / HUMAN_TFS if name in HUMAN_CELLS else folder / "tfs.txt")
    is_of_cells = name == "paul15" or name in HUMAN_CELLS
    adata = _cells(name, listed) if is_of_cells else read_h5ad(folder / "expression.h5ad")
    regulators = adata.var_names[adata.var_names.isin(listed)]
    references = {
        reference: read_reference(path, adata.var_names, regulators)
        for reference, path in _reference_paths(name, folder).items()
    }
    values = dense(adata)
    return DataSet(values, _are_counts(values), adata.var_names, regulators, references)


def _reference_paths(name: str, folder: Path) -> dict[str, Path]:
    """Return the files of the reference networks; curated ones for PBMC 3k alone, signatures for human cells."""
    if name not in HUMAN_CELLS:
        paths = sorted(folder.glob("*.csv"))
        return {path.stem.removeprefix("network_").replace("network", "truth"): path for path in paths}
    curated = HUMAN_NETWORKS if name == "pbmc3k" else ()
    return {**{stem: DATA / "priors" / f"{stem}.csv" for stem in curated}, SIGNATURES: DATA / SIGNATURE_FILE}


def _knockouts() -> DataSet:
    """Return the cells of THP-1 without a knock-out, and what the knock-outs of the other cells moved as reference."""
    adata = read_h5ad(DATA / "perturb" / "papalexi_thp1.h5ad")
    reference = knockout_network(adata)
    control = knockout_cells(adata, None)
    regulators = adata.var_names[adata.var_names.isin(reference["source"])]
    return DataSet(dense(control), True, adata.var_names, regulators, {"knockouts": reference})


def listed_genes(path: Path) -> list[str]:
    """Return the genes of a list, one a line."""
    return path.read_text().split()


def dense(adata: AnnData) -> np.ndarray:
    """Return the values as a dense array of double precision."""
    return (adata.X if isinstance(adata.X, np.ndarray) else adata.X.toarray()).astype(float)


def _are_counts(values: np.ndarray) -> bool:
    return bool((values == values.round()).all())


def _cells(name: str, listed: list[str]) -> AnnData:
    """Return the counts of the most overdispersed genes (variance over mean) and of all listed regulators."""
    adata = read_h5ad(DATA / "cells" / f"{name}.h5ad")
    counts = adata.X.toarray().astype(float)
    overdispersion = counts.var(0) / np.maximum(counts.mean(0), 1e-12)
    top = np.argsort(-overdispersion, kind="stable")[:N_TOP_GENES]
    chosen = adata.var_names.isin(listed)
    chosen[top] = True
    return adata[:, chosen].copy()


def read_reference(path: Path, genes: pd.Index, regulators: pd.Index) -> pd.DataFrame:
    """Return the edges that could be found, from a listed regulator to another gene of the data.

    Genes that the reference holds only in other edges would be candidates without a chance to be right.
    """
    edges = pd.read_csv(path)
    if "sign" in edges:  # the mean of experiments that disagree is no sign
        edges["sign"] = edges["sign"].where(edges["sign"].isin([-1, 1]))
    findable = edges["source"].isin(regulators) & edges["target"].isin(genes) & (edges["source"] != edges["target"])
    return edges[findable]
