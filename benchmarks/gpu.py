"""How fast does SCDual train on one CUDA device beside scVI in the same run, and does the device agree with the CPU?

Simulated sparse counts, 128 cells per step unless the variant says otherwise, all cells in training. Cells per second are those of the median epoch after a
first one; peak memory is what torch had allocated on the device during the epochs, and before them while the map learnt
its start. For the agreement a model is trained on the CPU, and its weights are read out on the CPU and on the device;
the map that is learnt anew is that of random halves of the cells, the same on both. What is drawn at random, such as
normalised expression, is not compared, because each kind of device has its own random numbers.

Usage: python benchmarks/gpu.py [--n-genes 2000 8000] [--n-cells 8192] [--epochs 5] [--output benchmarks/results/gpu.md]
"""

import argparse
import statistics
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scvi
import torch
from _tables import markdown, number, write_report
from anndata import AnnData
from lightning.pytorch import Callback, Trainer
from scvi.model import SCVI

from scdual.datasets import simulate
from scdual.model import SCDual

REGULATOR_SHARE = 0.08  # about that of transcription factors among human genes
N_COMPARED = (2_048, 2_000)  # cells and genes of the agreement
VARIANTS: dict[str, dict[str, Any]] = {
    "float32": {},
    "bf16-mixed": {"precision": "bf16-mixed"},
    "float32, CSR minibatches": {"load_sparse_tensor": True},
    "float32, pinned memory": {"datasplitter_kwargs": {"pin_memory": True}},
    "float32, 1,024 cells per step": {"batch_size": 1_024},
}


class Clock(Callback):
    """Time and peak memory of what comes before the epochs, and of the epochs."""

    def __init__(self) -> None:
        self.start_seconds, self.start_bytes, self.epoch_bytes = 0.0, 0, 0
        self.epochs: list[float] = []

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Begin with the start of the map."""
        self._begin()

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Take down the start."""
        self.start_seconds, self.start_bytes = self._elapsed(), peak_bytes()
        self._begin()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Begin an epoch."""
        self.began = now()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Take down an epoch."""
        self.epochs.append(self._elapsed())

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Take down the memory of the epochs."""
        self.epoch_bytes = peak_bytes()

    def _begin(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        self.began = now()

    def _elapsed(self) -> float:
        return now() - self.began


class Agreement(NamedTuple):
    """How alike two arrays are."""

    what: str
    correlation: float
    difference: float  # the largest
    scale: float  # largest absolute value on the CPU


def now() -> float:
    """Return the time when the device has done all that it was asked for."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def peak_bytes() -> int:
    """Return the peak memory on the device since the last reset."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0


def build(cls: type[SCDual] | type[SCVI], adata: AnnData) -> SCDual | SCVI:
    """Return an untrained model with its defaults."""
    cls.setup_anndata(adata)
    return SCDual(adata, regulators="regulator") if cls is SCDual else SCVI(adata)


def train(model: SCDual | SCVI, *, epochs: int, accelerator: str, **options: Any) -> Clock:
    """Train for a first epoch and some more; return their times and memory."""
    clock = Clock()
    model.train(
        1 + epochs,
        accelerator=accelerator,
        devices=1,
        train_size=1.0,
        callbacks=[clock],
        enable_progress_bar=False,
        **options,
    )
    model.to_device(torch.device("cpu"))  # nothing of it is left on the device
    return clock


def speed(n_genes: int, *, n_cells: int, epochs: int, accelerator: str = "gpu") -> list[list[str]]:
    """Return a row for each variant and model."""
    adata = simulate(n_cells, n_genes, n_regulators=round(REGULATOR_SHARE * n_genes))
    models = {cls.__name__: build(cls, adata) for cls in (SCVI, SCDual)}
    rows = []
    for variant, options in VARIANTS.items():
        rates: dict[str, float] = {}
        for name, model in models.items():
            try:
                clock = train(model, epochs=epochs, accelerator=accelerator, **options)
            except (RuntimeError, NotImplementedError) as error:  # of torch, on this device: it belongs into the table
                rows.append([f"{n_genes:,}", variant, name, f"{error}".splitlines()[0][:80], "", "", "", ""])
                continue
            rates[name] = n_cells / statistics.median(clock.epochs[1:])
            spread = [n_cells / seconds for seconds in clock.epochs[1:]]
            ratio = number(rates[name] / rates["SCVI"]) if name == "SCDual" and "SCVI" in rates else ""
            is_first = name == "SCDual" and variant == next(iter(VARIANTS))  # later ones go on with the same map
            rows.append(
                [
                    f"{n_genes:,}",
                    variant,
                    name,
                    f"{rates[name]:,.0f} ({min(spread):,.0f} to {max(spread):,.0f})",
                    ratio,
                    f"{clock.epoch_bytes / 2**20:,.0f}",
                    f"{clock.start_seconds:.1f}" if is_first else "",
                    f"{clock.start_bytes / 2**20:,.0f}" if is_first else "",
                ]
            )
            print(" | ".join(rows[-1]), flush=True)
    return rows


def read_out(model: SCDual, accelerator: str) -> dict[str, np.ndarray]:
    """Return what users read off a model, computed on one kind of device."""
    model.to_device(torch.device("cuda:0" if accelerator == "gpu" else "cpu"))
    scvi.settings.seed = 0  # the same halves of the cells
    model.train_ensemble(2, accelerator=accelerator, devices=1, enable_progress_bar=False)
    groups = model.get_regulation(groupby="cell_type").values()
    return {
        "latent": np.asarray(model.get_latent_representation()),
        "map learnt anew": np.stack([network.weight for network in model.ensemble_networks()]),
        "maps of groups": np.stack([network.weight for network in groups]),
        "influence": model.get_regulation(kind="influence").weight,
        "attention": model.get_regulation(kind="attention").weight,
    }


def agreement(
    accelerator: str = "gpu", *, n_cells: int = N_COMPARED[0], n_genes: int = N_COMPARED[1]
) -> list[Agreement]:
    """Return how alike CPU and device are, for the same weights in float32."""
    scvi.settings.seed = 0
    model = build(SCDual, simulate(n_cells, n_genes, n_regulators=round(REGULATOR_SHARE * n_genes)))
    model.train(5, accelerator="cpu", devices=1, enable_progress_bar=False)
    on_cpu, on_device = read_out(model, "cpu"), read_out(model, accelerator)
    found = []
    for what, expected in on_cpu.items():
        first, second = (np.asarray(array, dtype=np.float64).ravel() for array in (expected, on_device[what]))
        correlation = float(np.corrcoef(first, second)[0, 1])
        found.append(Agreement(what, correlation, float(np.abs(first - second).max()), float(np.abs(first).max())))
    return found


def report(rows: list[list[str]], agreements: list[Agreement]) -> str:
    """Return both tables as Markdown."""
    machine = f"{torch.cuda.get_device_name()}, torch {torch.__version__}, scvi-tools {scvi.__version__}"
    header = ["genes", "variant", "model", "cells per second", "SCDual / scVI", "peak MiB", "start, s", "start, MiB"]
    alike = [[a.what, f"{a.correlation:.7f}", f"{a.difference:.2g}", f"{a.scale:.3g}"] for a in agreements]
    return (
        f"{machine}.\n\n{markdown(header, rows)}\n"
        f"{markdown(['read out on CPU and device', 'correlation', 'largest difference', 'largest value'], alike)}"
    )


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n-genes", type=int, nargs="+", default=[2_000, 8_000])
    parser.add_argument("--n-cells", type=int, default=8_192)
    parser.add_argument("--epochs", type=int, default=5, help="epochs that are timed, after a first one")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "gpu.md")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("There is no CUDA device here, so nothing was measured; run this on a machine that has one.")
        return
    warnings.simplefilter("ignore")
    scvi.settings.seed = 0
    agreements = agreement()
    rows = []
    for n_genes in arguments.n_genes:
        rows += speed(n_genes, n_cells=arguments.n_cells, epochs=arguments.epochs)
    tables = report(rows, agreements)
    print(tables)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    write_report(arguments.output, "One GPU", str(__doc__), tables)


if __name__ == "__main__":
    main()
