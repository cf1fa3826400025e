"""Is the support of an edge the chance that its sign is right? Simulated cells, of which there are as many as one likes.

A map of 2,000 cells is compared with that of thirty times as many other cells of the same kind, whose signs count as right
(with ten times as many their own errors still count), and with the network that was simulated: of the edges with a support
around s, how many have the right sign? The second part counts what is called at a false discovery rate of 5 %: edges of
the network, pairs that a path of two edges links, and pairs that are not linked. Writes tables, and the picture of the
documentation.

Usage: python benchmarks/calibration.py [--seeds 0 1 2 3 4 5 6 7 8]
"""

import argparse
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scvi
from anndata import AnnData

from scdual.datasets import simulate
from scdual.grn import RegulatoryNetwork
from scdual.model import SCDual
from scdual.module import SCDualModule

PICTURE = Path(__file__).parents[1] / "docs" / "_static" / "calibration.png"


N_CELLS, N_OTHERS = 2_000, 60_000
BINS = [0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0]


def network_of(adata: AnnData) -> RegulatoryNetwork:
    """Return the map, which does not depend on how long the model is trained."""
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator")
    model.train_map()
    return model.get_regulation()


def pairs(seed: int) -> pd.DataFrame:
    """Return for every pair of a map its support, whether its sign is right, and how the network links it."""
    scvi.settings.seed = seed
    adata = simulate(N_CELLS + N_OTHERS, seed=seed)
    order = np.random.default_rng(seed).permutation(adata.n_obs)
    network, of_others = (network_of(adata[np.sort(part)].copy()) for part in np.split(order, [N_CELLS]))
    evidence: Any = network.evidence
    true = adata.varp["true_regulation"].toarray()
    rows = adata.var_names.get_indexer(network.regulators)
    link = np.where(true[rows] != 0, "edge", np.where((true @ true)[rows] != 0, "path of two", "none"))
    is_pair = network.weight != 0
    columns = {
        "support": evidence.support,
        "q_value": evidence.q_value,
        "as_others": np.sign(network.weight) == np.sign(of_others.weight),
        "as_network": np.sign(network.weight) == np.sign(true[rows]),
        "link": link,
    }
    return pd.DataFrame({"seed": seed} | {name: values[is_pair] for name, values in columns.items()})


def by_support(table: pd.DataFrame) -> pd.DataFrame:
    """Return the share of right signs over the support, of all pairs and of the edges of the network."""
    binned = table.assign(bin=pd.cut(table["support"], BINS, include_lowest=True))
    is_edge = binned["link"] == "edge"
    of_all = binned.groupby("bin", observed=True).agg(
        support=("support", "mean"), n=("support", "size"), share_right=("as_others", "mean")
    )
    of_edges = binned[is_edge].groupby("bin", observed=True)
    return of_all.assign(n_edges=of_edges.size(), share_right_of_edges=of_edges["as_network"].mean()).reset_index()


def called(table: pd.DataFrame, fdr: float = 0.05) -> pd.DataFrame:
    """Return how the network links the pairs that are called, for each simulation."""
    return pd.crosstab(table["seed"], table.loc[table["q_value"] <= fdr, "link"])


def main() -> None:
    """Learn, count and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(9)), help="of the simulation")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder of the tables")
    parser.add_argument("--picture", type=Path, default=PICTURE, help="file of the picture")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    SCDualModule.map_settings = replace(SCDualModule.map_settings, moment_cells=N_CELLS + N_OTHERS)  # all tell the map
    table = pd.concat([pairs(seed) for seed in chosen.seeds], ignore_index=True)
    chosen.out.mkdir(parents=True, exist_ok=True)
    found = {"calibration": by_support(table).round(4), "calibration_called": called(table)}
    for name, part in found.items():
        part.to_csv(chosen.out / f"{name}.csv", index=name == "calibration_called")
        print(part.to_string())
    draw(found["calibration"], chosen.picture)


def draw(found: pd.DataFrame, path: Path) -> None:
    """Draw the share of right signs over the support, with its standard error."""
    figure, ax = plt.subplots(figsize=(4, 3.6), layout="constrained")
    ax.plot([0.5, 1], [0.5, 1], color="0.7", linestyle="--", label="support = share right")
    for label, share, n in (
        ("sign as in 30 times the cells", found["share_right"], found["n"]),
        ("edges of the network, sign as there", found["share_right_of_edges"], found["n_edges"]),
    ):
        ax.errorbar(found["support"], share, yerr=np.sqrt(share * (1 - share) / n), fmt="o-", label=label)
    ax.set(xlabel="Support of the sign", ylabel="Share of right signs", xlim=(0.5, 1.02), ylim=(0.45, 1.03))
    ax.legend(loc="lower right", frameon=False, fontsize=8)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
