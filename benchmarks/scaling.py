"""How do time and memory grow with cells and with genes, beside scVI in the same run?

Simulated sparse counts, the same number of regulators at all sizes, defaults of both models, 128 cells per step. Each point is a
process of its own, which reads the counts from a file and trains for some steps; the two models follow each other at
each size. *Seconds per epoch* are the mean seconds of these steps (the first are left out) times the steps of an epoch,
those of validation included where the model validates by default: SCDual does, scVI does not. Seconds are those of the
processor, summed over threads, which other work on the machine changes less than the clock on the wall. Python collects no
garbage while steps are timed: one collection, which many steps share, would fall into one of these. *Start* is what comes before
the first step; SCDual computes its map there. *Memory* is the largest resident memory of the process less what it had
with the counts read. *Slope* is that of the logarithms: 1 is growth in proportion.

Usage: python benchmarks/scaling.py [--cells 1000 4000 16000] [--genes 500 1000 2000] [--steps 20] [--axes cells genes]
"""

import argparse
import gc
import math
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scvi
import torch
from _cells import RESULTS, apart
from _tables import markdown, merge
from anndata import AnnData, read_h5ad
from lightning.pytorch.callbacks import Callback
from scipy import sparse
from scvi.model import SCVI

from scdual.model import SCDual

CELLS = (1_000, 4_000, 16_000, 64_000, 300_000)
GENES = (500, 1_000, 2_000, 4_000, 8_000)
METHODS = ("scvi", "scdual")
N_GENES, N_CELLS = 2_000, 4_000  # that stay the same while the other grows
BATCH_SIZE = 128
N_FIRST = 3  # steps that are left out: allocation, caches
N_FACTORS = 8  # behind the simulated counts
CHUNK = 2_000  # cells simulated at a time
GOALS = {"cells": 1.05, "genes": 1.2}


def simulate(path: Path, n_cells: int, n_genes: int) -> None:
    """Write sparse counts of about 8 % non-zero values, which follow some factors."""
    rng = np.random.default_rng(0)
    loading = (0.35 * rng.normal(size=(N_FACTORS, n_genes))).astype(np.float32)
    level = rng.normal(-3.5, 1.2, size=n_genes).astype(np.float32)
    parts = []
    for start in range(0, n_cells, CHUNK):
        factors = rng.normal(size=(min(CHUNK, n_cells - start), N_FACTORS)).astype(np.float32)
        parts.append(sparse.csr_matrix(rng.poisson(np.exp(factors @ loading + level)).astype(np.float32)))
    adata = AnnData(sparse.vstack(parts, format="csr"))
    adata.var_names = [f"gene_{i}" for i in range(n_genes)]
    adata.write_h5ad(path)


class Clock(Callback):
    """Seconds of the processor in each step of training and of validation, loading included, and in all before the first."""

    def __init__(self) -> None:
        self.begin = self.last = time.process_time()
        self.start = math.nan
        self.steps: dict[str, list[float]] = {"train": [], "validation": []}

    def on_train_epoch_start(self, *_: Any) -> None:
        """Note when the steps begin, with no garbage left to collect in them."""
        gc.collect()
        gc.disable()
        self.last = time.process_time()
        self.start = self.last - self.begin

    def on_validation_start(self, *_: Any) -> None:
        """Note when validation begins."""
        self.last = time.process_time()

    def on_train_batch_end(self, *_: Any) -> None:
        """Note a step."""
        self._note("train")

    def on_validation_batch_end(self, *_: Any) -> None:
        """Note a step of validation."""
        self._note("validation")

    def _note(self, kind: str) -> None:
        now = time.process_time()
        self.steps[kind].append(now - self.last)
        self.last = now


def measure(method: str, path: Path, n_steps: int, n_regulators: int, n_threads: int) -> dict[str, float]:
    """Return seconds and memory of one model on the counts in a file; meant for a process of its own."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(n_threads)
    scvi.settings.seed = 0
    adata = read_h5ad(path)
    before, clock = resident(), Clock()
    given: dict[str, Any] = {
        "max_epochs": 1,
        "batch_size": BATCH_SIZE,
        "callbacks": [clock],
        "enable_progress_bar": False,
    }
    limits: dict[str, Any] = {"limit_train_batches": n_steps, "limit_val_batches": n_steps, "num_sanity_val_steps": 0}
    if method == "scvi":
        SCVI.setup_anndata(adata)
        SCVI(adata).train(**given, **limits)
    else:
        SCDual.setup_anndata(adata)
        spaced = np.linspace(0, adata.n_vars - 1, n_regulators).astype(int)
        SCDual(adata, regulators=list(adata.var_names[spaced])).train(**given, **limits)
    n_train = math.ceil(0.9 * adata.n_obs / BATCH_SIZE)
    n_validation = math.ceil(0.1 * adata.n_obs / BATCH_SIZE)
    step, validation = mean(clock.steps["train"]), mean(clock.steps["validation"])
    return {
        "steps": len(clock.steps["train"]),
        "ms_per_step": round(1e3 * step, 1),
        "seconds_per_epoch": round(n_train * step + n_validation * validation, 2),
        "start_seconds": round(clock.start, 2),
        "memory_mb": round(peak() - before),
        "data_mb": round((adata.X.data.nbytes + adata.X.indices.nbytes + adata.X.indptr.nbytes) / 2**20),
    }


def mean(seconds: list[float]) -> float:
    """Return the mean of steps without the first ones, if there are more; 0 of none."""
    settled = seconds[N_FIRST:] or seconds
    return sum(settled) / max(len(settled), 1)


def resident() -> float:
    """Return the resident memory of this process in MiB; where it is not told, the largest so far."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return peak()
    return pages * resource.getpagesize() / 2**20


def peak() -> float:
    """Return the largest resident memory of this process so far in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def slope(size: pd.Series, value: pd.Series) -> float:
    """Return by which power of the size a value grows."""
    return float(np.polyfit(np.log(size), np.log(value), 1)[0]) if len(size) > 1 else math.nan


def report(table: pd.DataFrame) -> str:
    """Return one table per axis: both models and their ratio at each size, and the slopes."""
    description = (__doc__ or "").partition("Usage:")[0].strip()
    parts = [f"# Growth with cells and genes\n\n{description}\n"]
    values = ("seconds_per_epoch", "start_seconds", "memory_mb")
    for axis, rows in table.groupby("axis", sort=False):
        found = {method: own.set_index(axis) for method, own in rows.groupby("method")}
        other, fixed = ("genes", N_GENES) if axis == "cells" else ("cells", N_CELLS)
        head = [
            str(axis),
            "s per epoch",
            "scVI",
            "ratio",
            "start, s",
            "memory, MB",
            "scVI",
            "counts, MB",
            "steps timed",
        ]
        body = []
        for size, own in found["scdual"].iterrows():
            beside = found["scvi"].loc[size]
            ratio = own["seconds_per_epoch"] / beside["seconds_per_epoch"]
            cells = [f"{own['seconds_per_epoch']:.1f}", f"{beside['seconds_per_epoch']:.1f}", f"{ratio:.2f}"]
            cells += [f"{own['start_seconds']:.1f}", f"{own['memory_mb']:.0f}", f"{beside['memory_mb']:.0f}"]
            body.append([f"{size:,}", *cells, f"{own['data_mb']:.0f}", f"{own['steps']:.0f}"])
        of = {m: [slope(t.index.to_series(), t[v].clip(lower=1e-3)) for v in values] for m, t in found.items()}
        mine, theirs = ([f"{number:.2f}" for number in of[method]] for method in ("scdual", "scvi"))
        body.append(["slope", mine[0], theirs[0], "", mine[1], mine[2], theirs[2], "", ""])
        regulators = rows["regulators"].iloc[0]
        goal = f"Goal: a slope of seconds per epoch of at most {GOALS[str(axis)]}."
        parts.append(f"## {axis}\n\n{fixed:,} {other}, {regulators} regulators. {goal}\n\n{markdown(head, body)}")
    return "\n".join(parts)


def main() -> None:
    """Run, merge and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", nargs="+", type=int, default=list(CELLS))
    parser.add_argument("--genes", nargs="+", type=int, default=list(GENES))
    parser.add_argument("--axes", nargs="+", choices=GOALS, default=list(GOALS))
    parser.add_argument("--steps", type=int, default=20, help="of each point, at most")
    parser.add_argument("--regulators", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of scaling.csv, scaling.md")
    chosen = parser.parse_args()
    sizes = {"cells": [(n, N_GENES) for n in chosen.cells], "genes": [(N_CELLS, n) for n in chosen.genes]}
    points = dict.fromkeys(point for axis in chosen.axes for point in sizes[axis])  # where axes cross, one serves both
    for n_cells, n_genes in points:
        axes = [axis for axis in chosen.axes if (n_cells, n_genes) in sizes[axis]]
        rows: list[dict[str, Any]] = []
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "counts.h5ad"
            apart(simulate, path, n_cells, n_genes)
            for method in METHODS:
                cost = apart(measure, method, path, chosen.steps, chosen.regulators, chosen.threads)
                row = {"method": method, "cells": n_cells, "genes": n_genes, "regulators": chosen.regulators, **cost}
                rows += [{"axis": each, **row} for each in axes]
                print(f"{n_cells:,} cells x {n_genes:,} genes, {method}: {cost}", flush=True)
        keys = ["axis", "cells", "genes", "method"]
        table = merge(rows, chosen.out / "scaling.csv", keys=keys, order={"axis": tuple(GOALS), "method": METHODS})
        (chosen.out / "scaling.md").write_text(report(table))


if __name__ == "__main__":
    main()
