"""Does the map stay when little changes?

Each method learns the map of the data and that of changed data: one cell removed, 100 cells removed, another seed, the
genes in another order; and the maps of two random halves of the cells. Overlap is the share of the 1,000 strongest
edges of one map that are among the 1,000 strongest of the other, *sign* the share of these with the same sign. By
support, the strongest edges of scdual are those whose sign is surest, not those with the largest weights.
Listed human transcription factors are the regulators; of pbmc3k the 1,000 most overdispersed genes and all regulators.

Usage: python benchmarks/stability.py [--sets pbmc68k] [--methods pearson scdual] [--changes one_cell seed] [--draws 20]
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from _cells import apart, check_data, measured, parser_of
from _grn_data import DataSet, load
from _learners import all_genes, available, learn
from _tables import markdown, mean_and_spread, merge

from scdual.datasets import pbmc68k
from scdual.grn import RegulatoryNetwork

SETS = ("pbmc68k", "pbmc3k")
METHODS = ("scdual", "scdual_by_support", "pearson", "genie3", "grnboost2", "regdiffusion")
N_TOP = 1_000
N_REMOVED = 100
Pair = tuple[DataSet, DataSet]


def cells(data: DataSet, index: np.ndarray) -> DataSet:
    """Return some of the cells, in their order."""
    return replace(data, values=data.values[np.sort(index)])


def without(data: DataSet, n_removed: int, rng: np.random.Generator) -> Pair:
    """Return the data, and the data without some random cells."""
    n_cells = len(data.values)
    return data, cells(data, rng.choice(n_cells, n_cells - n_removed, replace=False))


def halves(data: DataSet, rng: np.random.Generator) -> Pair:
    """Return two random halves of the cells, of which none is in both."""
    order = rng.permutation(len(data.values))
    first, second = np.array_split(order, 2)
    return cells(data, first), cells(data, second)


def reordered(data: DataSet, rng: np.random.Generator) -> Pair:
    """Return the data, and the data with the genes in another order."""
    order = rng.permutation(len(data.genes))
    genes = data.genes[order]
    regulators = genes[genes.isin(data.regulators)]
    return data, replace(data, values=data.values[:, order], genes=genes, regulators=regulators)


CHANGES: dict[str, Callable[[DataSet, np.random.Generator], Pair]] = {
    "one_cell": lambda data, rng: without(data, 1, rng),
    "100_cells": lambda data, rng: without(data, N_REMOVED, rng),
    "halves": halves,
    "seed": lambda data, rng: (data, replace(data, seed=int(rng.integers(1, 2**31)))),
    "gene_order": reordered,
}


def overlap(first: RegulatoryNetwork, second: RegulatoryNetwork, n_top: int = N_TOP) -> tuple[float, float]:
    """Return the share of the strongest edges that both have, and the share of these with the same sign."""
    one, other = (network.to_frame(n_top).set_index(["source", "target"])["weight"] for network in (first, second))
    shared = one.index.intersection(other.index)
    same = np.sign(one[shared]) == np.sign(other[shared])
    return len(shared) / max(len(one), len(other)), float(same.mean()) if len(shared) else float("nan")


def read(name: str) -> DataSet:
    """Return a data set without its references."""
    return all_genes(pbmc68k()) if name == "pbmc68k" else load(name)


def measure(name: str, method: str, changes: list[str], draws: int) -> list[dict[str, Any]]:
    """Return one row per change and draw; meant for a process of its own. A map of the same data is learnt once."""
    data = read(name)
    whole, cost = measured(learn, method, data)
    rows = []
    for change in changes:
        for draw in range(draws):
            pair = CHANGES[change](data, np.random.default_rng(draw))
            first, second = (whole if given is data else learn(method, given) for given in pair)
            share, same_sign = overlap(first, second)
            row: dict[str, Any] = {"set": name, "change": change, "method": method, "draw": draw}
            rows.append({**row, "overlap": round(share, 4), "same_sign": round(same_sign, 4), **cost})
    return rows


def report(table: pd.DataFrame) -> str:
    """Return one table per data set: overlap and sign of each method after each change."""
    parts = ["# Stability of the map\n", (__doc__ or "").partition("Usage:")[0].strip() + "\n"]
    for name, rows in table.groupby("set", sort=False):
        changes, body = rows["change"].unique(), []
        for method, own in rows.groupby("method", sort=False):
            runs = {change: own[own["change"] == change] for change in changes}
            scores = [mean_and_spread(runs[c][key]) for c in changes for key in ("overlap", "same_sign")]
            body.append([str(method), *scores, str(own["draw"].nunique())])
        header = [f"{change}, {key}" for change in changes for key in ("overlap", "sign")]
        parts.append(f"## {name}\n\n{markdown(['method', *header, 'draws'], body)}")
    return "\n".join(parts)


def main() -> None:
    """Run, merge and report."""
    parser = parser_of(__doc__, SETS, METHODS)
    parser.add_argument("--changes", nargs="+", choices=CHANGES, default=list(CHANGES), metavar="CHANGE")
    parser.add_argument("--draws", type=int, default=20, help="of each change")
    chosen = parser.parse_args()
    check_data()
    order = {"set": SETS, "change": tuple(CHANGES), "method": METHODS}
    for name in chosen.sets:
        for method in available(chosen.methods):
            rows = apart(measure, name, method, chosen.changes, chosen.draws)
            keys = ["set", "change", "method", "draw"]
            table = merge(rows, chosen.out / "stability.csv", keys=keys, order=order)
            (chosen.out / "stability.md").write_text(report(table))
            print(f"{name} {method}: {rows[0]['seconds']:.1f} s for one map", flush=True)


if __name__ == "__main__":
    main()
