"""What changes between conditions: is it calibrated, what does it find, and what does it say of interferon?

Calibration: cells of one condition and one type of kang_ifnb are halved at random, 20 times, and compared as if they were
two conditions, with cells and with donors (each halved) as the unit. Power: simulated conditions in which one regulator is
rewired, one silenced and one only shifted in mean. Answer: the regulators of kang_ifnb that differ most between
interferon-stimulated and control cells, beside a rank test of their expression.

Usage: python benchmarks/conditions.py [--parts calibration power answer] [--splits 20] [--seeds 0 1 2 3]
"""

import argparse
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scanpy as sc
import scvi
from _cells import RESULTS, check_data, load
from _condition_cells import simulate_conditions
from _tables import markdown, number
from anndata import AnnData

from scdual.model import SCDual

SETTINGS = ((2_000, 0.5, 0), (2_000, 3.0, 0), (10_000, 0.5, 0), (10_000, 3.0, 0), (10_000, 3.0, 4))
KNOWN = {"STAT1", "STAT2", "IRF1", "IRF2", "IRF7", "IRF8", "IRF9", "SP100", "SP110", "HES4", "DRAP1"}
FDR = 0.05


def fitted(adata: AnnData, regulators: str) -> SCDual:
    """Return a model after one epoch, which is enough for the map."""
    scvi.settings.seed = 0
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators=regulators)
    model.train(1, enable_progress_bar=False, logger=False)
    return model


def calibration(n_splits: int) -> pd.DataFrame:
    """Return for each type and condition how often nothing is called something."""
    model = fitted(load("kang_ifnb"), "human")
    obs = model.adata.obs
    rows = []
    for split in range(n_splits):
        rng = np.random.default_rng(split)
        half = pd.Series("first", obs.index)
        for cells in obs.groupby(["cell_type", "condition", "donor"], observed=True).groups.values():
            half[rng.permutation(cells)[: len(cells) // 2]] = "second"
        obs["half"] = half
        for donor_key in (None, "donor"):
            found = model.compare_conditions("half", ["cell_type", "condition"], donor_key)
            for what in ("edges", "regulators"):
                for group, table in getattr(found, what).groupby("group"):
                    rows.append(
                        {
                            "unit": "cell" if donor_key is None else "donor",
                            "what": what,
                            "group": group,
                            "split": split,
                            "tested": len(table),
                            "share p < .05": (table["p_value"] < 0.05).mean(),
                            "share p < .001": (table["p_value"] < 0.001).mean(),
                            "splits with q < .05": (table["q_value"] < FDR).any(),
                        }
                    )
    table = pd.DataFrame(rows)
    means = table.groupby(["unit", "what", "group"], sort=False).agg(
        {"tested": "mean", "share p < .05": "mean", "share p < .001": "mean", "splits with q < .05": "sum"}
    )
    return means.assign(splits=n_splits).reset_index()


def power(seeds: list[int]) -> pd.DataFrame:
    """Return what is found of known changes."""
    rows = []
    for n_obs, molecules, n_donors in SETTINGS:
        for seed in seeds:
            adata = simulate_conditions(n_obs, molecules=molecules, n_donors=n_donors, seed=seed)
            found = fitted(adata.copy(), "regulator").compare_conditions(
                "condition", donor_key="donor" if n_donors else None
            )
            rows.append(
                {"cells": n_obs, "molecules per gene": molecules, "donors": n_donors, "seed": seed}
                | of_edges(found.edges, adata)
                | of_regulators(found.regulators, adata)
            )
    return pd.DataFrame(rows)


def of_edges(edges: pd.DataFrame, adata: AnnData) -> dict[str, Any]:
    """Return how many changed edges are found, and of what kind the others are."""
    regulators, changed = adata.var_names[adata.var["regulator"]], adata.uns["changed"]
    change = pd.DataFrame(adata.uns["change"], regulators, adata.var_names)
    step = adata.uns["network"] != 0
    step[np.flatnonzero(adata.var["regulator"])] |= adata.uns["change"] != 0
    reach = np.eye(adata.n_vars, dtype=bool)
    for _ in regulators:  # no path is longer
        reach |= reach @ step
    touched = (change != 0).any(axis=0).to_numpy()
    is_linked = pd.Series(reach[touched].any(axis=0), adata.var_names)
    called = edges[edges["q_value"] < FDR]
    is_true = np.array([change.at[edge.source, edge.target] != 0 for edge in called.itertuples()], dtype=bool)
    of_rewired = called["source"].eq(changed["rewired"]).to_numpy()
    right = np.sign(called["difference"]) == [np.sign(change.at[e.source, e.target]) for e in called.itertuples()]
    n_rewired = int((change.loc[changed["rewired"]] != 0).sum())
    linked = (called["target"].map(is_linked) | called["source"].map(is_linked)).to_numpy(dtype=bool)
    return {
        "changed edges of the rewired": n_rewired,
        "of them called": int((of_rewired & is_true).sum()),
        "sign right": float(right[of_rewired & is_true].mean()) if (of_rewired & is_true).any() else np.nan,
        "called of the silenced": int((called["source"] == changed["silenced"]).sum()),
        "called of the shifted": int((called["source"] == changed["shifted"]).sum()),
        "called": len(called),
        "called, no change but a gene behind one": int((~is_true & linked).sum()),
        "called, no gene behind a change": int((~is_true & ~linked).sum()),
    }


def of_regulators(regulators: pd.DataFrame, adata: AnnData) -> dict[str, Any]:
    """Return the place of the changed regulators in the table of regulators."""
    place = pd.Series(np.arange(1, len(regulators) + 1), regulators["regulator"])
    return {f"place of the {kind}": int(place.get(name, -1)) for kind, name in adata.uns["changed"].items()}


def answer() -> pd.DataFrame:
    """Return the ten regulators that differ most by activity, and by a rank test of expression, for each type."""
    adata = load("kang_ifnb")
    model = fitted(adata, "human")
    log_values = adata.copy()
    sc.pp.normalize_total(log_values)
    sc.pp.log1p(log_values)
    rows = []
    for donor_key in (None, "donor"):
        found = model.compare_conditions("condition", "cell_type", donor_key)
        for group in found.groups:
            table = found.select(group).regulators
            cells = log_values[log_values.obs["cell_type"] == group, list(table["regulator"])].copy()
            sc.tl.rank_genes_groups(
                cells, "condition", groups=["stim"], reference="ctrl", method="wilcoxon", rankby_abs=True
            )
            by_rank = sc.get.rank_genes_groups_df(cells, "stim")["names"]
            tops = {"activity": table["regulator"][:10], "rank test of expression": by_rank[:10]}
            rows += [
                {
                    "unit": "cell" if donor_key is None else "donor",
                    "group": group,
                    "by": by,
                    "known of 10": sum(name in KNOWN for name in top),
                    "known in front": next((k for k, name in enumerate(top) if name not in KNOWN), len(top)),
                    "regulators": " ".join(top),
                }
                for by, top in tops.items()
            ]
    return pd.DataFrame(rows).drop_duplicates(["group", "by", "regulators"])


def report(title: str, table: pd.DataFrame) -> str:
    """Return a table as Markdown below its title."""
    body = [
        [number(value) if isinstance(value, float) else str(value) for value in row]
        for row in table.itertuples(index=False)
    ]
    return f"## {title}\n\n{markdown(list(table.columns), body)}\n"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--parts", nargs="+", default=["calibration", "power", "answer"], choices=["calibration", "power", "answer"]
    )
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the tables")
    chosen = parser.parse_args()
    check_data()
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    work = {
        "calibration": ("Random halves of one condition", lambda: calibration(chosen.splits)),
        "power": ("Simulated conditions", lambda: power(chosen.seeds)),
        "answer": ("Interferon", answer),
    }
    chosen.out.mkdir(parents=True, exist_ok=True)
    for name in chosen.parts:
        table = work[name][1]()
        table.to_csv(chosen.out / f"conditions_{name}.csv", index=False, float_format="%.4g")
        print(table.to_string())
    write(chosen.out, {name: title for name, (title, _) in work.items()})


def write(folder: Path, titles: dict[str, str]) -> None:
    """Write all tables that are there as one page; those of power as means over seeds."""
    parts = []
    for name, title in titles.items():
        path = folder / f"conditions_{name}.csv"
        if path.exists():
            table = pd.read_csv(path)
            if name == "power":
                table = (
                    table.drop(columns="seed").groupby(["cells", "molecules per gene", "donors"]).mean().reset_index()
                )
            parts.append(report(title, table))
    doc = (__doc__ or "").partition("Usage:")[0].strip()
    (folder / "conditions.md").write_text(f"# Conditions\n\n{doc}\n\n{''.join(parts)}".rstrip() + "\n")


if __name__ == "__main__":
    main()
