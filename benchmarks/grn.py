"""How well does SCDual recover known regulatory networks, beside the methods that a referee would ask for?

Every method gets the same matrix and regulators, and all are scored on the same candidates: listed regulators that are
sources of the reference, times the genes of their edges, without self pairs. Counts are depth-normalised and log1p;
BEELINE and BoolODE values are taken as they were published. Each method runs in a process of its own, whose peak
memory (Python and libraries included) is recorded. Results are merged into the table that exists, row by row.

Two controls show what genes tell without any edge: how abundant they are, and any method with the values of each gene
permuted across cells ("genie3 permuted"). ``root_mean_square`` is that of the weights of a map; that of scdual on permuted
genes should be a small part of that on the data.

The sets behind pbmc3k are new: no default was chosen with them in sight. THP-1 cells with knock-outs (papalexi) give a
map of the non-targeting cells and a reference from the others; see ``_knockouts.py``. Perturbation signatures, published
experiments of many kinds of cells, are a second reference of pbmc3k and the only one of kang_ifnb.

Usage: python benchmarks/grn.py [--sets sergio_100 ...] [--methods pearson ...] [--jobs 1] [--out benchmarks/results]
"""

import argparse
import importlib
import importlib.util
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from typing import Any

import _grn_report
import numpy as np
from _ablations import ABLATIONS
from _cells import check_data, measured, parser_of
from _grn_data import DataSet, load
from _grn_report import ABUNDANCE, PERMUTED
from _tables import merge

from scdual.grn import RegulatoryNetwork, score_network

SETS = (
    *("sergio_100", "sergio_400", "sergio_1200", "boolode_GSD", "beeline_mDC", "beeline_mHSC-E", "paul15", "pbmc3k"),
    *("boolode_HSC", "beeline_mESC", "sergio_DS4", "papalexi", "kang_ifnb"),
)
CORRELATIONS = ("pearson", "spearman", "partial_correlation")
LEARNERS = ("genie3", "grnboost2", "regdiffusion")
BASELINES = (*CORRELATIONS, *LEARNERS, "grnboost2_same_cells", "abundance")
SCDUAL = ("scdual", "scdual_warm_start", "scdual_untrained", "scdual_ensemble")
WITHOUT = tuple(f"scdual, {part}" for part in ABLATIONS)
SLOW_PERMUTED = tuple(method + PERMUTED for method in LEARNERS)
# function -> its module, loaded only in the process that needs it
METHODS = dict.fromkeys((*BASELINES, *(method + PERMUTED for method in CORRELATIONS + LEARNERS)), "_grn_baselines")
METHODS |= dict.fromkeys((*SCDUAL, "scdual" + PERMUTED, *WITHOUT), "_grn_scdual")
ON_REQUEST = ("grnboost2_same_cells", "scdual_ensemble", *SLOW_PERMUTED, *WITHOUT)  # take too long for every run
KEYS = ["set", "network", "method"]
MAPS = (
    *("pearson", "pearson+APC", "spearman", "spearman+APC", "partial_correlation"),
    *("genie3", "grnboost2", "grnboost2_same_cells", "regdiffusion"),
    *("scdual", "scdual consensus", "scdual+APC", "scdual influence", "scdual attention"),
)
ORDER = {
    "set": SETS,
    "method": (
        *(*MAPS, "scdual warm start", "scdual ensemble", *WITHOUT, *ABUNDANCE),
        *("scdual untrained", *(name + PERMUTED for name in MAPS)),
    ),
}


def measure(set_name: str, method: str) -> list[dict[str, Any]]:
    """Return one row per network and map; meant for a process of its own."""
    module, (function, _, part) = importlib.import_module(METHODS[method]), method.partition(", ")
    if function == "scdual" + PERMUTED:
        function = "scdual_map"  # more training would not change the map
    function = function.removesuffix(PERMUTED)
    run = partial(module.scdual_without, part=part) if part else getattr(module, function)
    data, suffix = load(set_name), PERMUTED if method.endswith(PERMUTED) else ""
    maps, cost = measured(run, data.permuted() if suffix else data)
    rows = [row for name, weight in maps.items() for row in score(name + suffix, weight, data)]
    return [{"set": set_name, **row, **cost} for row in rows]


def score(method: str, weight: np.ndarray, data: DataSet) -> list[dict[str, Any]]:
    """Return the scores of one map against every reference of the data set."""
    network = RegulatoryNetwork(weight * data.pair_mask, data.regulators, data.genes)
    size, rows = float(f"{np.sqrt(np.mean(network.weight**2)):.4g}"), []
    for name, reference in data.references.items():
        scores = vars(score_network(network, reference, regulators=data.regulators))
        rounded = {key: round(value, 4) for key, value in scores.items()}
        density = round(scores["n_edges"] / scores["n_candidates"], 4)
        rows.append({"network": name, "method": method, **rounded, "density": density, "root_mean_square": size})
    return rows


def available(methods: list[str]) -> list[str]:
    """Return the methods that can run, and say which cannot."""
    absent = [method for method in methods if method.startswith("regdiffusion")]
    if absent and importlib.util.find_spec("regdiffusion") is None:
        print("regdiffusion is not installed and is left out: pip install --group bench")
        return [method for method in methods if method not in absent]
    return methods


def arguments() -> argparse.Namespace:
    usual = [method for method in METHODS if method not in ON_REQUEST]
    parser = parser_of(__doc__, SETS, METHODS, usual_methods=usual)
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, which share the cores")
    return parser.parse_args()


def main() -> None:
    """Run, merge and report."""
    chosen = arguments()
    check_data()
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // chosen.jobs)))  # read by each process
    spawn = multiprocessing.get_context("spawn")
    methods = available(chosen.methods)
    failed = []
    with ProcessPoolExecutor(chosen.jobs, mp_context=spawn, max_tasks_per_child=1) as pool:
        jobs = {pool.submit(measure, name, method): (name, method) for name in chosen.sets for method in methods}
        for job in as_completed(jobs):
            name = " ".join(jobs[job])
            if job.exception() is not None:
                failed.append(name)
                print(f"{name}: {job.exception()!r}", flush=True)
                continue
            rows = job.result()
            table = merge(rows, chosen.out / "grn.csv", keys=KEYS, order=ORDER)
            (chosen.out / "grn.md").write_text(_grn_report.report(table))
            print(f"{name}: {rows[0]['seconds']:.1f} s, {rows[0]['peak_memory_mb']} MB", flush=True)
    if failed:
        sys.exit(f"{len(failed)} of {len(jobs)} runs failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
