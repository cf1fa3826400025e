"""Read the data sets of the network benchmark: one matrix, one list of regulators, and the reference networks."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import scanpy as sc
from _cells import DATA
from anndata import AnnData, read_h5ad

N_TOP_GENES = 1_000  # of cells whose networks come from elsewhere
HUMAN_TFS = "tfs_human_lambert2018.txt"
HUMAN_NETWORKS = ("collectri_human", "dorothea_human_ABC", "trrust_v2_human")


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
    """

    values: np.ndarray
    is_counts: bool
    genes: pd.Index
    regulators: pd.Index
    references: dict[str, pd.DataFrame]

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
    """Return a data set by its name: that of its folder, or pbmc3k with curated human networks."""
    folder = DATA / ("priors" if name == "pbmc3k" else f"grn/{name}")
    listed = (folder / (HUMAN_TFS if name == "pbmc3k" else "tfs.txt")).read_text().split()
    is_of_cells = name in ("paul15", "pbmc3k")
    adata = _cells(name, listed) if is_of_cells else read_h5ad(folder / "expression.h5ad")
    values = (adata.X if isinstance(adata.X, np.ndarray) else adata.X.toarray()).astype(float)
    regulators = adata.var_names[adata.var_names.isin(listed)]
    is_counts = bool((values == values.round()).all())
    references = {
        path.stem.removeprefix("network_").replace("network", "truth"): _read_reference(
            path, adata.var_names, regulators
        )
        for path in sorted(folder.glob("*.csv"))
        if name != "pbmc3k" or path.stem in HUMAN_NETWORKS
    }
    return DataSet(values, is_counts, adata.var_names, regulators, references)


def _cells(name: str, listed: list[str]) -> AnnData:
    """Return the counts of the most overdispersed genes (variance over mean) and of all listed regulators."""
    adata = read_h5ad(DATA / "cells" / f"{name}.h5ad")
    counts = adata.X.toarray().astype(float)
    overdispersion = counts.var(0) / np.maximum(counts.mean(0), 1e-12)
    top = np.argsort(-overdispersion, kind="stable")[:N_TOP_GENES]
    chosen = adata.var_names.isin(listed)
    chosen[top] = True
    return adata[:, chosen].copy()


def _read_reference(path: Path, genes: pd.Index, regulators: pd.Index) -> pd.DataFrame:
    """Return the edges that could be found, from a listed regulator to another gene of the data.

    Genes that the reference holds only in other edges would be candidates without a chance to be right.
    """
    edges = pd.read_csv(path)
    findable = edges["source"].isin(regulators) & edges["target"].isin(genes) & (edges["source"] != edges["target"])
    return edges[findable]
