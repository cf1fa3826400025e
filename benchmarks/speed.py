"""How long is one optimiser step of SCDual, and its default training, beside scVI in the same run?

Steps of both models alternate in short rounds on 2,638 x 2,000 sparse counts at 128 cells per step; the ratio of the
median round is reported, because seconds alone say more about the machine than about the model.

Usage: python benchmarks/speed.py [--rounds 7] [--no-training]
"""

import argparse
import os
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import scanpy as sc
import scvi
import torch
from anndata import AnnData, read_h5ad
from scvi.model import SCVI

from scdual.datasets import simulate
from scdual.model import SCDual

N_OBS, N_VARS, BATCH_SIZE = 2638, 2000, 128
DATA = Path(os.environ.get("SCDUAL_DATA", Path(__file__).parents[2] / "shared" / "data"))


def counts() -> tuple[AnnData, str]:
    """Return the 2,000 most variable genes of PBMC 3k, or simulated counts of that size where the data are missing."""
    path = DATA / "cells" / "pbmc3k.h5ad"
    if not path.exists():
        print(f"{path} is missing (set SCDUAL_DATA): simulated counts of the same size take its place.")
        return simulate(N_OBS, N_VARS, n_regulators=100, library_size=200.0), "simulated"
    adata = read_h5ad(path)
    log_expr = adata.copy()
    sc.pp.normalize_total(log_expr)
    sc.pp.log1p(log_expr)
    sc.pp.highly_variable_genes(log_expr, n_top_genes=N_VARS)
    return adata[:, log_expr.var["highly_variable"]].copy(), "pbmc3k"


def stepper(model: SCDual | SCVI) -> Callable[[], None]:
    """Return a function that makes one optimiser step on the next minibatch, data loading included."""
    module = model.module.train()
    plan = model._training_plan_cls(module)
    optimizer = torch.optim.AdamW(plan.parameters(), lr=1e-3)
    loader = model._data_splitter_cls(model.adata_manager, train_size=1.0, batch_size=BATCH_SIZE)
    loader.setup()
    if isinstance(model, SCDual):
        module.fit_scale(loader.train_dataloader())
    batches = iter(())

    def step() -> None:
        nonlocal batches
        tensors = next(batches, None)
        if tensors is None:
            batches = iter(loader.train_dataloader())
            tensors = next(batches)
        optimizer.zero_grad()
        module(tensors)[2].loss.backward()
        optimizer.step()

    return step


def seconds_per_step(step: Callable[[], None], n_steps: int) -> float:
    """Return the mean time of a step."""
    start = time.perf_counter()
    for _ in range(n_steps):
        step()
    return (time.perf_counter() - start) / n_steps


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--no-training", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    scvi.settings.seed = 0
    adata, name = counts()
    models = {}
    for cls in (SCVI, SCDual):
        cls.setup_anndata(adata)
        models[cls.__name__] = cls(adata)
    steps = {key: stepper(model) for key, model in models.items()}
    for step in steps.values():
        seconds_per_step(step, 5)
    rounds = [{key: seconds_per_step(step, 20) for key, step in steps.items()} for _ in range(arguments.rounds)]
    ratios = sorted(r["SCDual"] / r["SCVI"] for r in rounds)
    print(f"data: {name}, {adata.n_obs} x {adata.n_vars}, {len(models['SCDual'].regulators)} regulators")
    for key in steps:
        print(f"{key}: {1e3 * statistics.median(r[key] for r in rounds):.1f} ms per step")
    print(f"ratio: {statistics.median(ratios):.2f} (rounds {ratios[0]:.2f} to {ratios[-1]:.2f}); target at most 4")
    if not arguments.no_training:
        start = time.perf_counter()
        SCDual(adata).train(enable_progress_bar=False)
        print(f"default training of SCDual: {time.perf_counter() - start:.0f} s; target under 300")


if __name__ == "__main__":
    main()
