"""On how many cells do the strongest edges of a map rest, and does literature know them?

All genes of a data set, the transcription factors of a published list as regulators, every method with its own
defaults, with all regulators and with those alone that at least 10 cells express (the filter drops the other edges of
the finished map). For the 100 strongest edges the tables say: the median number of cells that express both genes; how
many have a regulator that under 1 % of the cells express; the odds of being in CollecTRI (DoRothEA A to C for mouse)
of the 100 strongest pairs that it could hold, over those of its other pairs, and the share of the found ones with the
right sign; and the first edges by name.

Usage: python benchmarks/top_edges.py [--sets kang_ifnb ...] [--methods pearson ...] [--out benchmarks/results]
"""

from typing import Any

import numpy as np
import pandas as pd
from _cells import DATA, apart, check_data, measured, parser_of
from _grn_data import DataSet, read_reference
from _learners import all_genes, available, expressing, learn, read_counts
from _tables import markdown, merge, number

from scdual.grn import RegulatoryNetwork
from scdual.tl import reference_overlap

SETS = {"pbmc3k": "human", "kang_ifnb": "human", "pbmc_3tech": "human", "paul15": "mouse", "norman_mcfaline": "human"}
METHODS = ("scdual", "scdual_by_support", "pearson", "grnboost2", "regdiffusion")
REFERENCES = {"human": "collectri_human", "mouse": "dorothea_mouse_ABC"}
MIN_CELLS = 10  # that express a regulator, where regulators are filtered
N_TOP, N_NAMED = 100, 10
RARE = 0.01  # share of the cells
COLUMNS = {
    "median_cells_both": "median cells with both genes",
    "n_rare_regulators": "regulators under 1 % of cells",
    "odds_ratio": "odds ratio",
    "n_found": "known edges",
    "sign_agreement": "sign right",
    "n_signed": "of signed",
    "seconds": "seconds",
}


def measure(set_name: str, method: str) -> list[dict[str, Any]]:
    """Return the rows of one method with and without the filter; meant for a process of its own."""
    organism = SETS[set_name]
    data = all_genes(read_counts(set_name), organism)
    known = read_reference(DATA / "priors" / f"{REFERENCES[organism]}.csv", data.genes, data.regulators)
    network, cost = measured(learn, method, data)
    rows = []
    for min_cells in (0, MIN_CELLS):
        kept = filtered(network, data, min_cells)
        row = {"set": set_name, "method": method, "min_cells": min_cells, **cells_behind(kept, data)}
        rows.append({**row, **literature(kept, known), **cost, "first_edges": first_edges(kept)})
    return rows


def filtered(network: RegulatoryNetwork, data: DataSet, min_cells: int) -> RegulatoryNetwork:
    """Return the edges of the regulators that enough cells express."""
    n_cells = pd.Series(expressing(data).sum(0), index=data.genes)[network.regulators]
    return network.subset(network.regulators[n_cells.to_numpy() >= min_cells], network.targets)


def cells_behind(network: RegulatoryNetwork, data: DataSet) -> dict[str, float]:
    """Return on how many cells the strongest edges rest."""
    top, on = network.to_frame(N_TOP), expressing(data)
    regulator, target = (on[:, data.genes.get_indexer(top[column])] for column in ("source", "target"))
    return {
        "n_top": len(top),
        "median_cells_both": float(np.median((regulator & target).sum(0))),
        "n_rare_regulators": int((regulator.mean(0) < RARE).sum()),
    }


def literature(network: RegulatoryNetwork, known: pd.DataFrame) -> dict[str, float]:
    """Return how the strongest pairs that a reference could hold agree with it; none without a shared edge."""
    known = known[known["source"].isin(network.regulators)]
    if known.empty:
        return {}
    overlap = reference_overlap(network, known, top=N_TOP)
    names = ("odds_ratio", "n_found", "n_expected", "n_signed", "sign_agreement")
    found = {name: round(float(getattr(overlap, name)), 4) for name in names}
    return {**found, "sign_majority": round(overlap.scores.sign_majority, 4)}


def first_edges(network: RegulatoryNetwork) -> str:
    """Return the first edges as text, a repression with a bar instead of an arrow head."""
    rows = network.to_frame(N_NAMED).itertuples()
    return ", ".join(f"{row.source} {'->' if row.weight > 0 else '-|'} {row.target}" for row in rows)


def report(table: pd.DataFrame) -> str:
    """Return one table and the first edges per data set."""
    parts = ["# The strongest edges\n", (__doc__ or "").partition("Usage:")[0].strip() + "\n"]
    for name, rows in table.groupby("set", sort=False):
        labels = [
            method if n == 0 else f"{method}, {n} cells"
            for method, n in zip(rows["method"], rows["min_cells"], strict=True)
        ]
        shown = rows.reindex(columns=list(COLUMNS)).to_numpy(dtype=float)
        body = [[label, *map(number, values)] for label, values in zip(labels, shown, strict=True)]
        edges = "".join(f"* {label}: {first}\n" for label, first in zip(labels, rows["first_edges"], strict=True))
        parts.append(f"## {name}\n\n{markdown(['method', *COLUMNS.values()], body)}\n{edges}")
    return "\n".join(parts)


def main() -> None:
    """Run, merge and report."""
    chosen = parser_of(__doc__, list(SETS), METHODS).parse_args()
    check_data()
    for name in chosen.sets:
        for method in available(chosen.methods):
            rows = apart(measure, name, method)
            keys, order = ["set", "method", "min_cells"], {"set": tuple(SETS), "method": METHODS}
            table = merge(rows, chosen.out / "top_edges.csv", keys=keys, order=order)
            (chosen.out / "top_edges.md").write_text(report(table))
            print(f"{name} {method}: {rows[0]['seconds']:.1f} s, {rows[0]['first_edges']}", flush=True)


if __name__ == "__main__":
    main()
