"""Does a prior network help to find the edges that it does not hold?

The prior holds half of the true edges and as many false ones, or ("useless") as many edges drawn at random. Scored are
the candidate pairs outside the prior: the AUPRC of the map with the prior over that of the map without it, on the same
pairs. A map that only repeats the prior has 1. Beside it the ratio if pairs are ranked by the number of targets that
the prior gives their regulator, without any data. One seed.

Usage: python benchmarks/prior.py [--sets simulated_0 sergio_400 ...] [--out benchmarks/results]
"""

import warnings
from functools import partial
from typing import Any

import grn
import numpy as np
import pandas as pd
from _cells import check_data, parser_of
from _grn_data import DataSet, load
from _grn_scdual import build, weight
from _tables import markdown, merge, number, write_report
from scipy.sparse import csr_matrix
from sklearn.metrics import average_precision_score

from scdual.datasets import simulate

SIMULATED = ("simulated_0", "simulated_1", "simulated_2")
SETS = SIMULATED + grn.SETS
PRIORS = ("half true", "useless")
SEED = 0
MAX_DENSITY = 0.3  # above it no map has much to gain


def data_set(name: str) -> DataSet:
    """Return one of the sets of the network benchmark, or counts from our own simulator."""
    if name not in SIMULATED:
        return load(name)
    adata = simulate(seed=int(name.removeprefix("simulated_")))
    row, column = adata.varp["true_regulation"].nonzero()
    genes = adata.var_names
    edges = pd.DataFrame({"source": genes[row], "target": genes[column]})
    return DataSet(adata.X.toarray().astype(float), True, genes, genes[adata.var["regulator"]], {"truth": edges})


def candidates(data: DataSet, reference: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return which pairs are edges and which are candidates, each row = regulator, column = target."""
    reference = reference[reference["source"].isin(data.regulators) & reference["target"].isin(data.genes)]
    row, column = data.regulators.get_indexer(reference["source"]), data.genes.get_indexer(reference["target"])
    shape = len(data.regulators), len(data.genes)
    is_edge = csr_matrix((np.ones(len(row), bool), (row, column)), shape=shape).toarray()
    named = np.union1d(data.genes.get_indexer(reference["source"]), column)
    is_candidate = np.isin(np.arange(shape[0]), row)[:, None] & np.isin(np.arange(shape[1]), named) & data.pair_mask
    return is_edge & is_candidate, is_candidate


def draw(mask: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return a mask with n of the places of another."""
    chosen = np.zeros(mask.size, dtype=bool)
    chosen[rng.choice(np.flatnonzero(mask), n, replace=False)] = True
    return chosen.reshape(mask.shape)


def measure(name: str) -> list[dict[str, Any]]:
    """Return one row per network and prior."""
    data = data_set(name)
    alone = learnt_map(data, None)
    rows = []
    for network, reference in data.references.items():
        is_edge, is_candidate = candidates(data, reference)
        if is_edge.sum() > MAX_DENSITY * is_candidate.sum():
            continue
        rng = np.random.default_rng(SEED)
        half = draw(is_edge, is_edge.sum() // 2, rng)
        false = draw(is_candidate & ~is_edge, half.sum(), rng)
        priors = {"half true": half | false, "useless": draw(is_candidate, 2 * half.sum(), rng)}
        for kind, prior in priors.items():
            found = learnt_map(data, prior)
            off = is_candidate & ~prior
            score = partial(average_precision_score, is_edge[off])
            n_targets = np.broadcast_to(prior.sum(1, keepdims=True), prior.shape)
            ranks = {"ratio": found, "number": n_targets}
            ratios = {key: round(score(rank[off]) / score(alone[off]), 4) for key, rank in ranks.items()}
            rows.append({"set": name, "network": network, "prior": kind, **ratios})
    return rows


def learnt_map(data: DataSet, prior: np.ndarray | None) -> np.ndarray:
    """Return the absolute weights of the map, which the steps of a training would not change."""
    table = None
    if prior is not None:
        row, column = prior.nonzero()
        table = pd.DataFrame({"source": data.regulators[row], "target": data.genes[column]})
    model = build(data, prior=table)
    model.train_map()
    return np.abs(weight(model))


def report(table: pd.DataFrame) -> str:
    """Return the table as Markdown, one row per network."""
    wide = table.pivot_table(index=["set", "network"], columns="prior", values=["ratio", "number"], sort=False)
    chosen = [("ratio", "half true"), ("number", "half true"), ("ratio", "useless")]
    body = [[" / ".join(key), *(number(row[column]) for column in chosen)] for key, row in wide.iterrows()]
    return markdown(["reference", "with half-true prior", "number of targets alone", "with useless prior"], body)


def main() -> None:
    """Run, merge and report."""
    chosen = parser_of(__doc__, SETS).parse_args()
    check_data()
    warnings.simplefilter("ignore")
    order = {"set": SETS, "prior": PRIORS}
    for name in chosen.sets:
        table = merge(measure(name), chosen.out / "prior.csv", keys=["set", "network", "prior"], order=order)
        write_report(chosen.out / "prior.md", "Edges beyond the prior", __doc__ or "", report(table))
        print(f"{name} is measured", flush=True)


if __name__ == "__main__":
    main()
