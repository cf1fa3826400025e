"""Are the signs of the map as sure as an ensemble says? Simulated networks, so that the truth is known.

Of the true edges on whose sign a share p of the members agrees, how many have the right sign? Writes a table, and the
picture of the documentation.

Usage: python benchmarks/calibration.py [--seeds 0 1 2] [--n-ensemble 10]
"""

import argparse
import warnings
from pathlib import Path
from typing import cast

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scvi

from scdual.datasets import simulate
from scdual.grn import EdgeEvidence, RegulatoryNetwork
from scdual.model import SCDual

PICTURE = Path(__file__).parents[1] / "docs" / "_static" / "calibration.png"


def edges(seed: int, n_ensemble: int) -> pd.DataFrame:
    """Return the support of every true edge's sign, and whether the sign is right."""
    scvi.settings.seed = seed
    adata = simulate(seed=seed)
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator")
    model.train(enable_progress_bar=False)
    model.train_ensemble(n_ensemble, enable_progress_bar=False)
    network = cast(RegulatoryNetwork, model.get_regulation())
    evidence = cast(EdgeEvidence, network.evidence)
    rows = adata.var_names.get_indexer(network.regulators)
    true = np.sign(adata.varp["true_regulation"].toarray()[rows])
    row, column = np.nonzero(true)
    right = np.sign(network.weight) == true
    return pd.DataFrame({"seed": seed, "support": evidence.support[row, column], "is_right": right[row, column]})


def main() -> None:
    """Train, count and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of simulation and training")
    parser.add_argument("--n-ensemble", type=int, default=10, help="members")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder of the table")
    parser.add_argument("--picture", type=Path, default=PICTURE, help="file of the picture")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    table = pd.concat([edges(seed, chosen.n_ensemble) for seed in chosen.seeds])
    by_support = table.groupby("support")["is_right"].agg(n="size", share_right="mean").reset_index()
    chosen.out.mkdir(parents=True, exist_ok=True)
    by_support.round(4).to_csv(chosen.out / "calibration.csv", index=False)
    print(by_support.round(3).to_string(index=False))
    draw(by_support, chosen.picture)


def draw(by_support: pd.DataFrame, path: Path) -> None:
    """Draw the share of right signs over the support, with its standard error."""
    share, n = by_support["share_right"], by_support["n"]
    figure, ax = plt.subplots(figsize=(4, 3.6), layout="constrained")
    ax.plot([0, 1], [0, 1], color="0.7", linestyle="--", label="support = share right")
    ax.errorbar(by_support["support"], share, yerr=np.sqrt(share * (1 - share) / n), fmt="o-", label="true edges")
    for x, y, count in zip(by_support["support"], share, n, strict=True):
        ax.annotate(f"{count}", (x, y), xytext=(0, 7), textcoords="offset points", ha="center", fontsize=7)
    ax.set(xlabel="Support of the sign", ylabel="Share of right signs", xlim=(0, 1.05), ylim=(0, 1.1))
    ax.legend(loc="lower right", frameon=False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
