"""Does a map of undisturbed cells tell what disturbing a regulator does?

Two references are signatures: knock-down, knock-out or over-expression of human factors in published experiments of
many kinds of cells, on all genes of PBMC 3k and of the interferon data. The third is of the same cells: knock-outs in
THP-1 cells, with a map of the cells without one (``_knockouts.py``). For each method: the AUROC of the targets within
each regulator, mean over regulators; the share of reference edges with the right sign, and of the fifth of them with
the largest weights; and the correlation of signed map and signed reference once what rows and columns explain is
removed, which is all that is said about pairs and not about genes. *Target mean* ranks the targets of every regulator
by their mean expression alone; it knows no regulator.

Usage: python benchmarks/perturbation.py [--sets kang_ifnb ...] [--methods pearson ...] [--out benchmarks/results]
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from _cells import DATA, apart, check_data, measured, parser_of
from _grn_data import SIGNATURE_FILE, SIGNATURES, DataSet, load, read_reference
from _learners import all_genes, available, learn, read_counts
from _tables import markdown, merge, number

from scdual.grn import RegulatoryNetwork, score_network

SETS = ("pbmc3k", "kang_ifnb", "papalexi")
TARGET_MEAN = "target mean"
METHODS = (TARGET_MEAN, "pearson", "spearman", "genie3", "grnboost2", "regdiffusion", "scdual")
USUAL = (TARGET_MEAN, "pearson", "spearman", "scdual")
STRONGEST = 0.2  # share of the signed reference edges
N_SWEEPS = 50  # of taking out row and column means, which converges fast where few pairs are missing
COLUMNS = {
    "auroc_within_regulator": "AUROC within regulator",
    "sign_accuracy": "sign right",
    "sign_of_strongest": "sign right, strongest fifth",
    "sign_majority": "commoner sign",
    "pair_correlation": "correlation of pairs",
}


def read(name: str) -> DataSet:
    """Return a data set with its one reference of perturbations."""
    if name == "papalexi":
        return load(name)
    data = all_genes(read_counts(name))
    return replace(data, references={SIGNATURES: read_reference(DATA / SIGNATURE_FILE, data.genes, data.regulators)})


def network_of(method: str, data: DataSet) -> RegulatoryNetwork:
    """Return the network of a method, or the mean of the target for every pair."""
    if method != TARGET_MEAN:
        return learn(method, data)
    return RegulatoryNetwork(data.pair_mask * data.log_expr.mean(0), data.regulators, data.genes)


def measure(name: str, method: str) -> dict[str, Any]:
    """Return the scores of one method; meant for a process of its own."""
    data = read(name)
    (known,) = data.references.values()
    network, cost = measured(network_of, method, data)
    scores = score_network(network, known)
    weight, sign, candidate = pairs(network, known)
    row = {
        "set": name,
        "method": method,
        "n_regulators": int(network.regulators.isin(known["source"]).sum()),
        "n_edges": scores.n_edges,
    }
    for key in ("n_candidates", "auroc_within_regulator", "sign_accuracy", "sign_majority"):
        row[key] = round(getattr(scores, key), 4)
    row["sign_of_strongest"] = round(sign_of_strongest(weight, sign), 4)
    row["pair_correlation"] = round(pair_correlation(weight, sign, candidate), 4)
    return {**row, **cost}


def pairs(network: RegulatoryNetwork, known: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return weight, sign in the reference (0 if unknown) and whether a pair is a candidate, row = regulator."""
    sources = network.regulators[network.regulators.isin(known["source"])]
    genes = network.targets[network.targets.isin(pd.concat([known["source"], known["target"]]))]
    sign = known.pivot_table(index="source", columns="target", values="sign").reindex(index=sources, columns=genes)
    candidate = sources.to_numpy()[:, None] != genes.to_numpy()
    return network.subset(sources, genes).weight, np.sign(sign.fillna(0.0).to_numpy()), candidate


def sign_of_strongest(weight: np.ndarray, sign: np.ndarray) -> float:
    """Return the share of right signs among the fifth of the signed edges with the largest weights; 0 counts half."""
    is_signed = sign != 0
    strength, agreement = np.abs(weight[is_signed]), (1 + np.sign(weight[is_signed]) * sign[is_signed]) / 2
    n_strongest = max(1, round(STRONGEST * len(strength)))
    return float(agreement[np.argsort(-strength, kind="stable")[:n_strongest]].mean())


def pair_correlation(weight: np.ndarray, sign: np.ndarray, candidate: np.ndarray) -> float:
    """Return the correlation over the candidates without what rows and columns explain; nan if nothing is left."""
    left = [centred(values, candidate)[candidate] for values in (weight, sign)]
    if min(part.std() for part in left) < 1e-6:  # single precision leaves about 1e-8
        return float("nan")
    return float(np.corrcoef(*left)[0, 1])


def centred(values: np.ndarray, candidate: np.ndarray) -> np.ndarray:
    """Return values whose candidates have mean 0 in each row and column, the least-squares fit of both taken out."""
    values = np.where(candidate, values, 0.0).astype(float)
    for _ in range(N_SWEEPS):
        for axis in (0, 1):
            mean = values.sum(axis, keepdims=True) / np.maximum(candidate.sum(axis, keepdims=True), 1)
            values -= mean * candidate
    return values


def report(table: pd.DataFrame) -> str:
    """Return one table per reference."""
    parts = ["# What perturbations say\n", (__doc__ or "").partition("Usage:")[0].strip() + "\n"]
    for name, rows in table.groupby("set", sort=False):
        first = rows.iloc[0]
        facts = f"{first.n_regulators} regulators, {first.n_edges} edges among {first.n_candidates} candidates"
        body = [[row["method"], *(number(row[key]) for key in COLUMNS)] for _, row in rows.iterrows()]
        parts.append(f"## {name}\n\n{facts}\n\n{markdown(['method', *COLUMNS.values()], body)}")
    return "\n".join(parts)


def main() -> None:
    """Run, merge and report."""
    chosen = parser_of(__doc__, SETS, METHODS, usual_methods=USUAL).parse_args()
    check_data()
    for name in chosen.sets:
        for method in available(chosen.methods):
            row = apart(measure, name, method)
            order = {"set": SETS, "method": METHODS}
            table = merge([row], chosen.out / "perturbation.csv", keys=["set", "method"], order=order)
            (chosen.out / "perturbation.md").write_text(report(table))
            print(f"{name} {method}: {row['seconds']:.1f} s", flush=True)


if __name__ == "__main__":
    main()
