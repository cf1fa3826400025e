"""How fast does SCDual learn from cells on disk, and how much memory does it take?

Sparse counts of about 10 % density are simulated in files, a block of cells at a time. One epoch of SCDual, its map and its
embedding, written to disk, are measured from an annbatch collection of these files (scvi-tools 1.5, Python 3.12), or from one
backed h5ad file; beside it one epoch of scVI with the same minibatches, and of SCDual on some of the cells in memory. Each
runs in a process of its own, whose peak of resident memory is reported. `start` is what the map learns from all cells before
the first step; cells per second count the steps of the epoch alone.

Usage: python benchmarks/streaming.py FOLDER [--cells 100000] [--genes 2000] [--engine annbatch] [--in-memory 20000]
                                              [--steps 300]
"""

import argparse
import json
import resource
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import scvi
from anndata import AnnData
from lightning.pytorch import Callback
from scipy import sparse
from scvi.model import SCVI

from scdual.model import SCDual

PER_FILE, PER_BLOCK = 50_000, 1_000
N_REGULATORS, N_PROGRAMMES, N_TYPES, N_BATCHES = 200, 10, 8, 4
DENSITY = 0.1
BATCH_SIZE = 128
RUNS = ("SCDual", "scVI", "SCDual in memory")


class Clock(Callback):
    """Notes when the first epoch begins, and when its last step ends."""

    def on_train_start(self, *_: Any) -> None:
        """Begin."""
        self.start = time.perf_counter()

    def on_train_batch_end(self, *_: Any) -> None:
        """Go on."""
        self.end = time.perf_counter()


class Simulator:
    """Counts of cell types, programmes of genes, batches and depths."""

    def __init__(self, n_genes: int) -> None:
        rng = np.random.default_rng(0)
        self.loading = rng.normal(size=(N_PROGRAMMES, n_genes)) * 0.4
        self.of_type = rng.normal(size=(N_TYPES, N_PROGRAMMES))
        self.of_batch, self.log_mean = rng.normal(size=(N_BATCHES, n_genes)) * 0.2, rng.normal(size=n_genes)
        low, high = -20.0, 20.0
        rate = self.rate(rng, rng.integers(N_TYPES, size=PER_BLOCK), rng.integers(N_BATCHES, size=PER_BLOCK))
        for _ in range(50):  # until the share of counts above 0 is as asked
            self.shift = (low + high) / 2
            is_low = (1 - np.exp(-rate * np.exp(self.shift))).mean() < DENSITY
            low, high = (self.shift, high) if is_low else (low, self.shift)
        self.log_mean += self.shift

    def rate(self, rng: np.random.Generator, cell_type: np.ndarray, batch: np.ndarray) -> np.ndarray:
        """Return the expected counts of some cells."""
        programme = self.of_type[cell_type] + 0.5 * rng.normal(size=(len(batch), N_PROGRAMMES))
        depth = 0.4 * rng.normal(size=(len(batch), 1))
        return np.exp(self.log_mean + programme @ self.loading + self.of_batch[batch] + depth)

    def cells(self, seed: int, n_cells: int) -> AnnData:
        """Return cells, of which one block at a time is in memory with its zeros."""
        rng = np.random.default_rng(seed)
        cell_type, batch = rng.integers(N_TYPES, size=n_cells), rng.integers(N_BATCHES, size=n_cells)
        blocks = [
            sparse.csr_matrix(rng.poisson(self.rate(rng, cell_type[rows], batch[rows])).astype(np.float32))
            for rows in np.array_split(np.arange(n_cells), -(-n_cells // PER_BLOCK))
        ]
        obs = pd.DataFrame({"batch": batch.astype(str), "cell_type": cell_type.astype(str)}, dtype="category")
        obs.index = [f"cell_{seed + i}" for i in range(n_cells)]
        names = [f"REG{i:04}" if i < N_REGULATORS else f"GENE{i:05}" for i in range(len(self.log_mean))]
        return AnnData(sparse.vstack(blocks, format="csr"), obs, pd.DataFrame(index=names))


def simulate_files(folder: Path, *, n_cells: int, n_genes: int) -> list[Path]:
    """Write files of cells that are not there yet; return the paths of all."""
    simulator, paths = Simulator(n_genes), []
    for start in range(0, n_cells, PER_FILE):
        paths.append(folder / f"cells_{start:08}.h5ad")
        if not paths[-1].exists():
            simulator.cells(start, min(PER_FILE, n_cells - start)).write_h5ad(paths[-1])
    return paths


def prepare(folder: Path, paths: list[Path], engine: str) -> None:
    """Join the files to what the engine reads, once."""
    if engine == "backed" and not (folder / "cells.h5ad").exists():
        anndata.experimental.concat_on_disk(paths, folder / "cells.h5ad")
    elif engine == "annbatch" and not (folder / "cells.zarr").exists():
        SCDual.setup_annbatch(folder / "cells.zarr", paths, batch_key="batch", labels_key="cell_type", shuffle=True)


def measured(folder: Path, run: str, engine: str, *, n_in_memory: int, n_steps: int | None) -> dict[str, Any]:
    """Return seconds, cells per second and peak memory of one run in this process."""
    cls = SCVI if run == "scVI" else SCDual
    regulators = [f"REG{i:04}" for i in range(N_REGULATORS)]
    options: dict[str, Any] = {} if cls is SCVI else {"regulators": regulators}
    clock, given = Clock(), dict[str, Any]()
    if engine == "annbatch" and run != "SCDual in memory":
        datamodule: Any = SCDual.setup_annbatch(folder / "cells.zarr", batch_key="batch", labels_key="cell_type")
        model, given = cls(registry=datamodule.registry, **options), {"datamodule": datamodule}
    else:
        paths = sorted(folder.glob("cells_*.h5ad"))
        backed = anndata.read_h5ad(folder / "cells.h5ad" if engine == "backed" else paths[0], backed="r")
        data = backed[:n_in_memory].to_memory() if run == "SCDual in memory" else backed
        cls.setup_anndata(data, batch_key="batch", labels_key="cell_type")
        model = cls(data, **options)
    before, begun = peak_memory(), time.perf_counter()
    model.train(
        1,
        batch_size=BATCH_SIZE,
        train_size=0.9,
        callbacks=[clock],
        enable_progress_bar=False,
        accelerator="cpu",
        limit_train_batches=n_steps,
        **given,
    )
    n_trained = len(model.train_indices) if n_steps is None else min(n_steps * BATCH_SIZE, len(model.train_indices))
    found = {"start": clock.start - begun, "epoch": clock.end - clock.start, "cells": n_trained}
    found["cells_per_second"] = n_trained / found["epoch"]
    if run == "SCDual":
        begun = time.perf_counter()
        source = {"dataloader": given["datamodule"].inference_dataloader()} if given else {}
        latent = model.get_latent_representation(**source, out=folder / "latent.npy")
        found |= {"latent": time.perf_counter() - begun, "embedded": len(latent)}
        model.get_regulation().to_frame(top=1000)
    return found | {"memory_before": before, "memory": peak_memory()}


def peak_memory() -> float:
    """Return the peak of resident memory of this process, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Simulate, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--genes", type=int, default=2_000)
    parser.add_argument("--engine", choices=["annbatch", "backed"], default="annbatch")
    parser.add_argument("--in-memory", type=int, default=20_000)
    parser.add_argument("--steps", type=int, help="steps of the epoch; all unless given")
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=RUNS)
    parser.add_argument("--only", choices=["prepare", *RUNS], help=argparse.SUPPRESS)  # in a process of its own
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    folder = given.folder / f"{given.cells}_{given.genes}"
    if given.only is None:
        for run in ("prepare", *given.runs):
            subprocess.run([sys.executable, __file__, *sys.argv[1:], "--only", run], check=True)
        return
    scvi.settings.seed = 0
    if given.only == "prepare":
        folder.mkdir(parents=True, exist_ok=True)
        begun = time.perf_counter()
        paths = simulate_files(folder, n_cells=given.cells, n_genes=given.genes)
        simulated = time.perf_counter()
        prepare(folder, paths, given.engine)
        seconds = {
            "simulation": simulated - begun,
            "collection": time.perf_counter() - simulated,
            "memory": peak_memory(),
        }
    else:
        sizes = {"n_in_memory": given.in_memory, "n_steps": given.steps}
        seconds = measured(folder, given.only, given.engine, **sizes)
    numbers = {key: round(value, 2) for key, value in seconds.items()}
    print(json.dumps({"run": given.only, "engine": given.engine, "of": given.cells} | numbers), flush=True)


if __name__ == "__main__":
    main()
