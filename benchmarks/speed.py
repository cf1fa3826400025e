"""How long does it take from a file of counts to embedding and map, beside other methods in the same run?

Each job is a process of its own, alone on the machine: it reads an h5ad, learns with the defaults of its method and ends with
its result in memory. SCDual gives embedding and map, scVI the embedding; GRNBoost2, RegDiffusion and *scdual, map*
(``train_map``) the map. *Ratio* is the time over that of SCDual. GRNBoost2 fits each gene on its own, so its time is that
of some genes, times all genes over these; of more than 10,000 cells, scVI trains a twentieth of its epochs and is given the time
of all, and GRNBoost2 and RegDiffusion are left out. Time is that of the clock on the wall, imports left out; memory is the
largest of the process. Medians over repeats.

The second table has single steps of both models at 128 cells, the map of SCDual in every fourth as by default, in rounds that
alternate: there the ratio is SCDual over scVI.

Usage: python benchmarks/speed.py [--sets pbmc3k kang_ifnb simulated] [--methods ...] [--repeats 3] [--rounds 7]
"""

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scvi
import torch
from _cells import DATA, RESULTS, apart, measured
from _grn_data import HUMAN_TFS, DataSet, dense, listed_genes
from _learners import available
from _tables import markdown, merge
from anndata import AnnData, read_h5ad
from scvi.model import SCVI
from scvi.model._utils import get_max_epochs_heuristic

from scdual import pp
from scdual.datasets import simulate
from scdual.model import SCDual

SETS = ("pbmc3k", "kang_ifnb", "simulated")
METHODS = ("scdual", "scvi", "grnboost2", "regdiffusion", "scdual, map")
N_TOP_GENES = 2_000  # beside the regulators
N_CELLS, N_GENES = 20_000, 3_000  # that are simulated
N_TARGETS = 200  # on which GRNBoost2 is timed
TOO_MANY_CELLS = 10_000  # for methods that would take hours
BATCH_SIZE, MAP_EVERY = 128, 4


def write_counts(name: str, path: Path) -> None:
    """Write the most variable genes of a set, all listed factors among them, or simulated counts."""
    warnings.simplefilter("ignore")
    if name == "simulated":
        adata = simulate(N_CELLS, N_GENES, n_regulators=300, library_size=2_000.0)
        adata.var["regulator"] = adata.var["regulator"].astype(bool)
    else:
        adata = read_h5ad(DATA / "cells" / f"{name}.h5ad")
        adata.var["regulator"] = adata.var_names.isin(listed_genes(DATA / "priors" / HUMAN_TFS))
        pp.select_genes(
            adata, min(N_TOP_GENES, adata.n_vars), list(adata.var_names[adata.var["regulator"]]), subset=True
        )
    adata.write_h5ad(path)


def scdual(path: Path) -> dict[str, Any]:
    """Return embedding and map."""
    model = built(SCDual, read_h5ad(path), regulators="regulator")
    model.train(enable_progress_bar=False)
    return {"embedding": model.get_latent_representation(), "map": model.get_regulation()}


def scdual_map(path: Path) -> dict[str, Any]:
    """Return the map."""
    model = built(SCDual, read_h5ad(path), regulators="regulator")
    model.train_map()
    return {"map": model.get_regulation()}


def scvi_default(path: Path) -> dict[str, Any]:
    """Return the embedding of scVI, and the seconds that the epochs take which were left out."""
    adata = read_h5ad(path)
    model, n_epochs = built(SCVI, adata), get_max_epochs_heuristic(adata.n_obs)
    share = 1 if adata.n_obs <= TOO_MANY_CELLS else 20
    start = time.perf_counter()
    model.train(n_epochs // share, enable_progress_bar=False)
    left_out = (share - 1) * (time.perf_counter() - start)
    return {"embedding": model.get_latent_representation(), "left_out": left_out}


def built(cls: Any, adata: AnnData, **options: Any) -> Any:
    """Return a model that is set up; batches are told if there are any."""
    scvi.settings.seed = 0
    cls.setup_anndata(adata, batch_key="batch" if "batch" in adata.obs else None)
    return cls(adata, **options)


def regdiffusion(path: Path) -> dict[str, Any]:
    """Return the map of RegDiffusion."""
    from _grn_baselines import regdiffusion

    return regdiffusion(data_set(read_h5ad(path)))


def grnboost2(path: Path) -> dict[str, Any]:
    """Return the map of GRNBoost2 for regulators and some more genes, and the seconds that the rest takes."""
    from _grn_baselines import grnboost2

    adata = read_h5ad(path)
    others = np.flatnonzero(~adata.var["regulator"])
    chosen = np.random.default_rng(0).permutation(others)[:N_TARGETS]
    is_chosen = adata.var["regulator"].to_numpy().copy()
    is_chosen[chosen] = True
    data, start = data_set(adata[:, is_chosen].copy()), time.perf_counter()
    weight = grnboost2(data)
    seconds = time.perf_counter() - start
    return {**weight, "left_out": seconds * (adata.n_vars / is_chosen.sum() - 1)}


def data_set(adata: AnnData) -> DataSet:
    """Return counts as baselines take them."""
    genes = pd.Index(adata.var_names)
    return DataSet(dense(adata), True, genes, genes[adata.var["regulator"]], {})


JOBS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "scdual": scdual,
    "scvi": scvi_default,
    "grnboost2": grnboost2,
    "regdiffusion": regdiffusion,
    "scdual, map": scdual_map,
}


def job(method: str, path: Path) -> dict[str, float]:
    """Return seconds and memory of one job."""
    result, cost = measured(JOBS[method], path)
    return {**cost, "seconds": round(float(cost["seconds"] + result.get("left_out", 0)), 2)}


def stepper(model: SCDual | SCVI) -> Callable[[], None]:
    """Return a function that makes one optimiser step on the next minibatch, data loading included."""
    module = model.module.train()
    plan = model._training_plan_cls(module)
    optimizer = torch.optim.AdamW(plan.parameters(), lr=1e-3, fused=isinstance(model, SCDual))
    loader = model._data_splitter_cls(model.adata_manager, train_size=1.0, batch_size=BATCH_SIZE)
    loader.setup()
    if isinstance(model, SCDual):
        module.fit_scale(loader.train_dataloader())
    batches: Iterator[Any] = iter(())
    n_steps = 0

    def step() -> None:
        nonlocal batches, n_steps
        tensors = next(batches, None)
        if tensors is None:
            batches = iter(loader.train_dataloader())
            tensors = next(batches)
        optimizer.zero_grad()
        weight = {"map_weight": 0.0 if n_steps % MAP_EVERY else float(MAP_EVERY)} if isinstance(model, SCDual) else {}
        module(tensors, loss_kwargs=weight)[2].loss.backward()
        optimizer.step()
        n_steps += 1

    return step


def steps(path: Path, n_rounds: int) -> dict[str, float]:
    """Return the median milliseconds per step of both models in rounds of 20 steps, and that of the ratio."""
    warnings.simplefilter("ignore")
    adata = read_h5ad(path)
    models = (built(SCVI, adata), built(SCDual, adata, regulators="regulator"))
    both = {type(model).__name__: stepper(model) for model in models}
    rounds = []
    for _ in range(n_rounds + 1):
        seconds = {}
        for name, step in both.items():
            start = time.perf_counter()
            for _ in range(5 * MAP_EVERY):
                step()
            seconds[name] = (time.perf_counter() - start) / (5 * MAP_EVERY)
        rounds.append(seconds)
    rounds = rounds[1:]  # the first warms up
    median = {name: 1e3 * statistics.median(each[name] for each in rounds) for name in both}
    return {**median, "ratio": statistics.median(each["SCDual"] / each["SCVI"] for each in rounds)}


def report(table: pd.DataFrame, steps_table: pd.DataFrame) -> str:
    """Return both tables as Markdown."""
    description = (__doc__ or "").partition("Usage:")[0].strip()
    head = ["data", "cells", "genes", "regulators", "method", "seconds", "ratio", "peak memory, MB", "repeats"]
    body = []
    for (name, *size), rows in table.groupby(["set", "cells", "genes", "regulators"], sort=False):
        median = rows.groupby("method", sort=False)[["seconds", "peak_memory_mb"]].median()
        own = median["seconds"].get("scdual", np.nan)
        for method, cost in median.iterrows():
            n_repeats = (rows["method"] == method).sum()
            cells = [f"{cost['seconds']:.1f}", f"{cost['seconds'] / own:.2f}", f"{cost['peak_memory_mb']:.0f}"]
            body.append([name, *(f"{number:,}" for number in size), method, *cells, str(n_repeats)])
    parts = [f"# Whole jobs\n\n{description}\n", markdown(head, body), "\n## Single steps\n"]
    parts.append(
        markdown(
            ["data", "scVI, ms", "SCDual, ms", "ratio"],
            [
                [row["set"], f"{row['SCVI']:.1f}", f"{row['SCDual']:.1f}", f"{row['ratio']:.2f}"]
                for _, row in steps_table.iterrows()
            ],
        )
    )
    return "\n".join(parts)


def main() -> None:
    """Run, merge and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=7, help="of steps; 0 leaves them out")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of speed.csv, speed_steps.csv, speed.md")
    chosen = parser.parse_args()
    sets = [name for name in chosen.sets if name == "simulated" or (DATA / "cells" / f"{name}.h5ad").is_file()]
    for name in set(chosen.sets) - set(sets):
        print(f"{DATA / 'cells' / name}.h5ad is missing (set SCDUAL_DATA) and is left out.")
    order = {"set": SETS, "method": METHODS}
    with tempfile.TemporaryDirectory() as folder:
        for name in sets:
            path = Path(folder) / f"{name}.h5ad"
            apart(write_counts, name, path)
            adata = read_h5ad(path, backed="r")
            size = {"cells": adata.n_obs, "genes": adata.n_vars, "regulators": int(adata.var["regulator"].sum())}
            for repeat in range(chosen.repeats):
                for method in available(chosen.methods):
                    if method in ("grnboost2", "regdiffusion") and size["cells"] > TOO_MANY_CELLS:
                        continue
                    row = {"set": name, **size, "method": method, "repeat": repeat, **apart(job, method, path)}
                    print(row, flush=True)
                    table = merge([row], chosen.out / "speed.csv", keys=["set", "method", "repeat"], order=order)
            if chosen.rounds:
                row = {"set": name, **apart(steps, path, chosen.rounds)}
                print(row, flush=True)
                merge([row], chosen.out / "speed_steps.csv", keys=["set"], order=order)
    steps_path = chosen.out / "speed_steps.csv"
    steps_table = pd.read_csv(steps_path) if steps_path.exists() else pd.DataFrame()
    (chosen.out / "speed.md").write_text(report(table, steps_table))


if __name__ == "__main__":
    main()
