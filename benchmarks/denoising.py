"""Does the model know the molecules that were not sequenced, beside scVI?

A tenth of the molecules of each cell is taken out by binomial thinning. The models see the rest, and predict the others
as nine times rarer. The score is the Poisson deviance of the held-out molecules per cell, lower is better; "mean of the
genes" predicts the same proportions in every cell.

Usage: python benchmarks/denoising.py [--sets pbmc3k sergio_400] [--methods scdual ...] [--seeds 0 1 2]
"""

import numpy as np
import scvi
from _cells import DATA, apart, arguments, load, measured
from _tables import means, merge, write_report
from anndata import AnnData, read_h5ad
from scipy.special import xlogy
from scvi.model import SCVI
from scvi.model.base import BaseModelClass

from scdual.model import SCDual

SETS = ("pbmc3k", "sergio_400")
SHARE = 0.1
N_SAMPLES = 10


def thin(name: str, seed: int) -> tuple[AnnData, np.ndarray]:
    """Return the counts that the models see, and those held out."""
    adata = read_h5ad(DATA / "grn" / name / "expression.h5ad") if name.startswith("sergio") else load(name)
    counts = np.asarray(adata.X.todense() if hasattr(adata.X, "todense") else adata.X).astype(np.int64)
    held_out = np.random.default_rng(seed).binomial(counts, SHARE)
    seen = AnnData((counts - held_out).astype(np.float32), var=adata.var[[]])
    return seen, held_out


def gene_means(adata: AnnData) -> np.ndarray:
    """Return expected counts if all cells had the same proportions."""
    return adata.X.sum(1, keepdims=True) * (adata.X.sum(0) + 1e-3) / adata.X.sum()


def decoded(adata: AnnData, cls: type[BaseModelClass]) -> np.ndarray:
    """Return expected counts under a model, averaged over samples of the latent state."""
    cls.setup_anndata(adata)
    model = cls(adata)
    model.train(enable_progress_bar=False)
    return model.get_normalized_expression(library_size="latent", n_samples=N_SAMPLES, return_numpy=True)


METHODS = {
    "mean of the genes": gene_means,
    "scvi": lambda adata: decoded(adata, SCVI),
    "scdual": lambda adata: decoded(adata, SCDual),
}


def deviance(counts: np.ndarray, expected: np.ndarray) -> float:
    """Return the Poisson deviance per cell."""
    return float(2 * (xlogy(counts, counts / expected) - counts + expected).sum(1).mean())


def row(name: str, method: str, seed: int) -> dict[str, object]:
    """Return the score of one run; meant for a process of its own."""
    scvi.settings.seed = seed
    adata, held_out = thin(name, seed)
    expected, cost = measured(METHODS[method], adata)
    score = deviance(held_out, expected.astype(np.float64) * SHARE / (1 - SHARE))
    return {"set": name, "method": method, "seed": seed, "deviance": score, **cost}


def main() -> None:
    """Run, merge and report."""
    chosen = arguments(__doc__, SETS, METHODS)
    for name in chosen.sets:
        for method in chosen.methods:
            for seed in chosen.seeds:
                found = apart(row, name, method, seed)
                table = merge(
                    [found], chosen.out / "denoising.csv", keys=["set", "method", "seed"], order={"set": SETS}
                )
                print(f"{name} {method} {seed}: {found['deviance']:.2f}", flush=True)
    write_report(
        chosen.out / "denoising.md", "Held-out molecules", __doc__, means(table, ["set", "method"], ["deviance"])
    )


if __name__ == "__main__":
    main()
