"""Are labels predicted as well as by scANVI when one cell in ten has one?

A tenth of the cells of each type keep their label. scANVI starts from scVI; both train with their defaults. SCDual is run
as it is, where labels do not touch the embedding, and with labels that shape it. Scores of the other cells: accuracy, and
the expected calibration error of the probabilities (10 bins; 0 is best).

Usage: python benchmarks/labels.py [--sets kang_ifnb ...] [--methods scdual ...] [--seeds 0 1 2]
"""

import numpy as np
import pandas as pd
import scvi
from _cells import apart, arguments, load, measured
from _tables import means, merge, write_report
from anndata import AnnData
from scvi.model import SCANVI, SCVI

from scdual.model import SCDual

SETS = ("kang_ifnb", "pbmc_3tech", "pbmc3k")
UNKNOWN = "Unknown"
SHARE = 0.1


def hide_labels(adata: AnnData, seed: int) -> np.ndarray:
    """Write the known labels to ``obs["known"]`` and return where they are hidden."""
    labels = adata.obs["cell_type"].astype(str)
    is_hidden = ~labels.index.isin(labels.groupby(labels).sample(frac=SHARE, random_state=seed).index)
    adata.obs["known"] = np.where(is_hidden, UNKNOWN, labels)
    return is_hidden


def scanvi(adata: AnnData) -> pd.DataFrame:
    """Return the probabilities of scANVI."""
    SCVI.setup_anndata(adata, batch_key="batch", labels_key="known")
    start = SCVI(adata)
    start.train(enable_progress_bar=False)
    model = SCANVI.from_scvi_model(start, unlabeled_category=UNKNOWN)
    model.train(enable_progress_bar=False)
    return model.predict(soft=True)


def scdual(adata: AnnData, classification_weight: float = 0.0) -> pd.DataFrame:
    """Return the probabilities of SCDual."""
    SCDual.setup_anndata(adata, batch_key="batch", labels_key="known", unlabeled_category=UNKNOWN)
    model = SCDual(adata, classification_weight=classification_weight)
    model.train(enable_progress_bar=False)
    return model.predict(soft=True)


def scdual_shaped(adata: AnnData) -> pd.DataFrame:
    """Return the probabilities of SCDual when labels shape the embedding."""
    return scdual(adata, classification_weight=50.0)


METHODS = {"scanvi": scanvi, "scdual": scdual, "scdual, labels shape the embedding": scdual_shaped}


def calibration_error(probability: np.ndarray, is_right: np.ndarray, n_bins: int = 10) -> float:
    """Return the mean distance of confidence and accuracy, over bins of the confidence weighted by their cells."""
    place = np.minimum((probability * n_bins).astype(int), n_bins - 1)
    found = pd.DataFrame({"confidence": probability, "accuracy": is_right}).groupby(place)
    distance = (found["confidence"].mean() - found["accuracy"].mean()).abs()
    return float((distance * found.size()).sum() / len(probability))


def row(name: str, method: str, seed: int) -> dict[str, object]:
    """Return the scores of one run; meant for a process of its own."""
    scvi.settings.seed = seed
    adata = load(name)
    is_hidden = hide_labels(adata, seed)
    soft, cost = measured(METHODS[method], adata)
    soft = soft[is_hidden]
    is_right = (soft.idxmax(axis=1) == adata.obs["cell_type"].astype(str)[is_hidden]).to_numpy()
    error = calibration_error(soft.max(axis=1).to_numpy(), is_right)
    return {
        "set": name,
        "method": method,
        "seed": seed,
        "accuracy": is_right.mean(),
        "calibration_error": error,
        **cost,
    }


def main() -> None:
    """Run, merge and report."""
    chosen = arguments(__doc__, SETS, METHODS)
    for name in chosen.sets:
        for method in chosen.methods:
            for seed in chosen.seeds:
                found = apart(row, name, method, seed)
                table = merge([found], chosen.out / "labels.csv", keys=["set", "method", "seed"], order={"set": SETS})
                print(f"{name} {method} {seed}: {found['accuracy']:.3f}", flush=True)
    scores = means(table, ["set", "method"], ["accuracy", "calibration_error"])
    write_report(chosen.out / "labels.md", "Predicting labels", __doc__, scores)


if __name__ == "__main__":
    main()
