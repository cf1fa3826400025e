"""Which genes does a knock-out move? A reference network from perturbed cells (Papalexi 2021, THP-1, ECCITE-seq).

The map is learnt on the non-targeting cells alone; the perturbed cells make the reference. Regulators are the
knocked-out genes that are among the measured genes. Within each replicate the depth-normalised log values of knock-out
and non-targeting cells are compared by a rank-sum test with correction for ties; the standard scores of the replicates
are combined with the square root of the number of knock-out cells as weight (Stouffer). A gene is moved at a false
discovery rate of 5 % over all pairs of a knock-out and a gene (Benjamini and Hochberg). A gene that falls without its
regulator is activated by it. A knock-out that moves fewer than ``MIN_MOVED`` genes is left out: it may have failed,
and says nothing about the genes that stay.
"""

import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from scipy.stats import false_discovery_control, norm

CONTROL = "non-targeting"
FDR = 0.05
MIN_MOVED = 50  # about a sixth of the genes; below, effect and failed knock-out cannot be told apart
MIN_CELLS = 10  # of a knock-out in a replicate, for a rank test to mean anything


def knockout_cells(adata: AnnData, gene: str | None) -> AnnData:
    """Return the cells in which a gene is knocked out; None takes those without a knock-out."""
    return adata[adata.obs["perturbation"] == (CONTROL if gene is None else gene)].copy()


def knockout_network(adata: AnnData) -> pd.DataFrame:
    """Return ``source, target, sign`` of the genes that knock-outs move, and rows of the control that name all genes.

    ``adata`` holds counts.
    """
    score = moved_scores(adata)
    p_value = 2 * norm.sf(score.abs())
    is_moved = false_discovery_control(p_value, axis=None).reshape(p_value.shape) < FDR
    is_moved &= score.index.to_numpy()[:, None] != score.columns.to_numpy()
    is_moved &= is_moved.sum(1, keepdims=True) >= MIN_MOVED
    row, column = np.nonzero(is_moved)
    sign = -np.sign(score.to_numpy()[row, column]).astype(int)
    edges = pd.DataFrame({"source": score.index[row], "target": score.columns[column], "sign": sign})
    # every gene was tested, so each is a candidate: candidates are the genes of all edges, true edges those of regulators
    tested = pd.DataFrame({"source": CONTROL, "target": score.columns, "sign": 0})
    return pd.concat([edges, tested], ignore_index=True)


def moved_scores(adata: AnnData) -> pd.DataFrame:
    """Return the combined standard score of each gene (column) under each knock-out (row); positive is a rise."""
    genes = adata.var_names
    knocked_out = genes[genes.isin(adata.obs["perturbation"])]
    total = pd.DataFrame(0.0, index=knocked_out, columns=genes)
    n_cells = pd.Series(0, index=knocked_out)
    for _, cells in adata.obs.groupby("batch", observed=True):
        counts = cells["perturbation"].value_counts().reindex(knocked_out, fill_value=0)
        counts = counts[counts >= MIN_CELLS]
        replicate = adata[cells.index[cells["perturbation"].isin([CONTROL, *counts.index])]].copy()
        for gene, scores in _rank_scores(replicate, list(counts.index)).items():
            total.loc[gene] += np.sqrt(counts[gene]) * scores.reindex(genes)
        n_cells = n_cells.add(counts, fill_value=0)
    tested = n_cells[n_cells > 0]
    return total.loc[tested.index].div(np.sqrt(tested), axis=0)


def _rank_scores(adata: AnnData, knocked_out: list[str]) -> dict[str, pd.Series]:
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    adata.obs["perturbation"] = adata.obs["perturbation"].astype("category").cat.remove_unused_categories()
    with np.errstate(invalid="ignore"):  # genes without a count have no score, which is filled with 0
        sc.tl.rank_genes_groups(
            adata, "perturbation", groups=knocked_out, reference=CONTROL, method="wilcoxon", tie_correct=True
        )
    tables = {gene: sc.get.rank_genes_groups_df(adata, gene) for gene in knocked_out}
    return {gene: table.set_index("names")["scores"].fillna(0.0).astype(float) for gene, table in tables.items()}
