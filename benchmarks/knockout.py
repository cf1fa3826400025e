"""Does what the map predicts of a knock-out come true? In simulated cells, and in THP-1 cells.

Simulated: the map is learnt on one half of the cells; the other half is simulated twice, with a regulator and without it,
one regulator at a time. A *direct target* counts if its count moved, by a rank-sum test at a false discovery rate of 5 %
over all genes and regulators. THP-1: knock-outs of nine measured genes (Papalexi 2021, ECCITE-seq), with a map of the
cells without one; the nine are the regulators, or they and the transcription factors among the genes.

The baselines are those of ``model.check_perturbation``: *no change*; *correlation*, the slope of each gene on the
regulator in unperturbed cells; *ridge*, its slope on all regulators; *target mean*, by which each gene falls in proportion to
its mean. Sign: share of the genes that moved whose direction is right; no direction counts half. Spearman: of predicted
and observed log changes of all genes. Error: of the log changes, over that of predicting no change.

Usage: python benchmarks/knockout.py [--sets mixture ... thp1 ...] [--seeds 10 11 12] [--out benchmarks/results]
"""

from typing import Any

import anndata
import numpy as np
import pandas as pd
import scvi
from _cells import DATA, apart, check_data, measured, parser_of
from _grn_data import HUMAN_TFS, listed_genes
from _knockouts import CONTROL, knockout_cells
from _learners import read_counts
from _tables import markdown, merge, number
from anndata import AnnData

from scdual.datasets import simulate
from scdual.model import PerturbationCheck, SCDual

N_CELLS = 2_000  # half of them to learn from
SIMULATED: dict[str, dict[str, Any]] = {
    "mixture": {"n_vars": 300, "n_regulators": 30},
    "one type": {"n_vars": 600, "n_regulators": 60, "n_cell_types": 1},
    "deep": {"n_vars": 400, "n_regulators": 50, "library_size": 1_500},
}
REAL = {"thp1": False, "thp1, with factors": True}
ROUNDS = (0, 1, 2, 4)
DEFAULT = 1
BASELINES = ("no change", "correlation", "ridge", "target mean")
METHODS = ("scdual", *(f"scdual, {n} rounds" for n in ROUNDS if n != DEFAULT), *BASELINES)
ALL = "all"


def fitted(adata: AnnData, regulators: Any, batch_key: str | None = None) -> SCDual:
    """Return a model with the map of these cells, which does not depend on how long it is trained."""
    scvi.settings.seed = 0
    SCDual.setup_anndata(adata, batch_key=batch_key)
    model = SCDual(adata, regulators=regulators)
    model.train_map()
    return model


def with_knockouts(options: dict[str, Any], seed: int) -> tuple[AnnData, AnnData]:
    """Return simulated cells to learn from, and others with and without each regulator that has a target."""
    whole = simulate(N_CELLS, seed=seed, **options)
    learnt, rest = slice(N_CELLS // 2), slice(N_CELLS // 2, None)
    has_target = np.diff(whole.varp["true_regulation"].indptr) > 0
    parts = {CONTROL: whole[rest]}
    for gene in whole.var_names[has_target]:
        parts[gene] = simulate(N_CELLS, seed=seed, knockout=gene, **options)[rest]
    cells = anndata.concat(parts, label="perturbation", index_unique="-")
    return whole[learnt].copy(), cells


def checks(model: SCDual, cells: AnnData) -> dict[str, PerturbationCheck]:
    """Return the check of each number of rounds, by the name of the method."""
    names = {rounds: "scdual" if rounds == DEFAULT else f"scdual, {rounds} rounds" for rounds in ROUNDS}
    return {
        name: model.check_perturbation(cells, "perturbation", CONTROL, rounds=rounds) for rounds, name in names.items()
    }


def rows_of(found: dict[str, PerturbationCheck], truth: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Return one row per method and regulator, and one over all regulators; ``truth`` are the direct edges."""
    rows = []
    for name, check in found.items():
        methods = ("scdual", *BASELINES) if name == "scdual" else ("scdual",)
        for method in methods:
            scores = check.scores[check.scores["method"] == method].drop(columns="method")
            label = name if method == "scdual" else method
            agree = (1 + np.sign(check.predicted[method]) * np.sign(check.observed)) / 2
            total = {
                "regulator": ALL,
                "n_moved": int(check.moved.to_numpy().sum()),
                "sign_accuracy": agree.where(check.moved).stack().mean(),
                **scores[["spearman", "error"]].mean(),
            }
            is_direct = check.moved & (False if truth is None else truth.loc[check.moved.index, check.moved.columns])
            total["n_direct"] = int(is_direct.to_numpy().sum())
            total["direct_sign_accuracy"] = agree.where(is_direct).stack().mean()
            per_regulator = scores.to_dict("records") if truth is None else []
            rows += [{"method": label, **row} for row in [total, *per_regulator]]
    return rows


def measure(name: str, seed: int) -> list[dict[str, Any]]:
    """Return the scores of one set; meant for a process of its own."""
    return measured(_measure, name, seed)[0]


def _measure(name: str, seed: int) -> list[dict[str, Any]]:
    if name in SIMULATED:
        learnt, cells = with_knockouts(SIMULATED[name], seed)
        edges = pd.DataFrame(
            learnt.varp["true_regulation"].toarray() != 0, index=learnt.var_names, columns=learnt.var_names
        )
        found = rows_of(checks(fitted(learnt, "regulator"), cells), edges)
    else:
        cells = read_counts("papalexi_thp1")
        regulators = cells.var_names.isin(cells.obs["perturbation"])
        if REAL[name]:
            regulators |= cells.var_names.isin(listed_genes(DATA / "priors" / HUMAN_TFS))
        model = fitted(knockout_cells(cells, None), list(cells.var_names[regulators]), batch_key="batch")
        found = rows_of(checks(model, cells), None)
    return [{"set": name, "seed": seed, **row} for row in found]


def report(table: pd.DataFrame) -> str:
    """Return a table of the simulated sets, means over seeds, and one per real set."""
    parts = ["# Knock-outs in silico\n", (__doc__ or "").partition("Usage:")[0].strip() + "\n"]
    total = table[table["regulator"] == ALL]
    columns = {
        "direct_sign_accuracy": "sign, direct targets",
        "sign_accuracy": "sign, all moved",
        "spearman": "Spearman",
        "error": "error",
    }
    for name, rows in total.groupby("set", sort=False):
        shown = {key: title for key, title in columns.items() if rows[key].notna().any()}
        body = [
            [method, *(number(runs[key].mean()) for key in shown)]
            for method, runs in rows.groupby("method", sort=False)
        ]
        facts = f"{rows['seed'].nunique()} seeds, {rows['n_moved'].iloc[0]:.0f} pairs moved in the first"
        parts.append(f"## {name}\n\n{facts}\n\n{markdown(['method', *shown.values()], body)}")
    for name, rows in table[table["set"].isin(REAL) & (table["regulator"] != ALL)].groupby("set", sort=False):
        kept = rows[~rows["method"].str.endswith("rounds")]
        body = []
        for regulator, runs in kept.groupby("regulator", sort=False):
            head = f"{regulator} ({runs['n_cells'].iloc[0]:.0f} cells, {runs['n_moved'].iloc[0]:.0f} moved)"
            by_method = runs.set_index("method")
            cells = (
                f"{number(by_method.at[m, 'spearman'])} / {number(by_method.at[m, 'sign_accuracy'])}"
                for m in kept["method"].unique()
            )
            body.append([head, *cells])
        header = ["Spearman / sign", *kept["method"].unique()]
        parts.append(f"## {name}, by regulator\n\n{markdown(header, body)}")
    return "\n".join(parts)


def main() -> None:
    """Run, merge and report."""
    sets = (*SIMULATED, *REAL)
    parser = parser_of(__doc__, sets)
    parser.add_argument("--seeds", nargs="+", type=int, default=[10, 11, 12], help="of the simulated sets")
    chosen = parser.parse_args()
    if set(chosen.sets) & set(REAL):
        check_data()
    for name in chosen.sets:
        for seed in chosen.seeds if name in SIMULATED else [0]:
            rows = apart(measure, name, seed)
            keys = ["set", "seed", "method", "regulator"]
            table = merge(rows, chosen.out / "knockout.csv", keys=keys, order={"set": sets, "method": METHODS})
            (chosen.out / "knockout.md").write_text(report(table))
            print(f"{name} {seed}: done", flush=True)


if __name__ == "__main__":
    main()
