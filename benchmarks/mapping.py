"""Does a new batch find its place in a trained model, beside scVI and a projection?

All batches but the last are the reference, the last is the query. Models are trained with their defaults, the query
is loaded with `load_query_data` and trained with the defaults as well; SCDual is scored before that, too. *scVI, scArches* has
the settings that scvi-tools recommends for mapping: the encoder is told the batch, layers are normalised per cell, two hidden
layers, and nothing pulls on the weights while the query trains. *PCA* projects the query onto the components of the reference.
Labels are transferred by the 15 nearest reference cells; the score is the share of right labels.

Usage: python benchmarks/mapping.py [--sets pbmc_3tech kang_ifnb] [--methods scdual ...] [--seeds 0 1 2]
"""

from typing import Any

import numpy as np
import scanpy as sc
import scvi
from _cells import apart, arguments, load, measured
from _tables import means, merge, write_report
from anndata import AnnData
from scvi.model import SCVI
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

from scdual.model import SCDual

SETS = ("pbmc_3tech", "kang_ifnb", "cellbench_3cl", "pbmc_2tech")
METHODS = ("pca", "scvi", "scvi, scArches", "scdual")
N_NEIGHBOURS = 15
N_COMPONENTS = 50
SCARCHES = {
    "use_layer_norm": "both",
    "use_batch_norm": "none",
    "encode_covariates": True,
    "dropout_rate": 0.2,
    "n_layers": 2,
}
SCARCHES_QUERY = {"max_epochs": 200, "plan_kwargs": {"weight_decay": 0.0}}


def split(adata: AnnData) -> tuple[AnnData, AnnData]:
    """Return reference and query."""
    is_query = adata.obs["batch"] == sorted(adata.obs["batch"].unique())[-1]
    return adata[~is_query].copy(), adata[is_query].copy()


def accuracies(name: str, method: str, seed: int) -> dict[str, float]:
    """Return the accuracy of transferred labels, before and after training on the query."""
    scvi.settings.seed = seed
    reference, query = split(load(name))
    known = KNeighborsClassifier(N_NEIGHBOURS)
    if method == "pca":
        projection = PCA(N_COMPONENTS, random_state=seed).fit(log_expression(reference))
        known.fit(projection.transform(log_expression(reference)), reference.obs["cell_type"])
        return {method: known.score(projection.transform(log_expression(query)), query.obs["cell_type"])}
    cls: Any = SCDual if method == "scdual" else SCVI
    cls.setup_anndata(reference, batch_key="batch")
    is_scarches = method == "scvi, scArches"
    model = cls(reference, **(SCARCHES if is_scarches else {}))
    model.train(enable_progress_bar=False)
    known.fit(model.get_latent_representation(), reference.obs["cell_type"])

    mapped = cls.load_query_data(query, model)
    found = {}
    if method == "scdual":
        found["scdual, not trained on the query"] = known.score(
            mapped.get_latent_representation(), query.obs["cell_type"]
        )
    mapped.train(enable_progress_bar=False, **(SCARCHES_QUERY if is_scarches else {}))
    return found | {method: known.score(mapped.get_latent_representation(), query.obs["cell_type"])}


def log_expression(adata: AnnData) -> np.ndarray:
    """Return depth-normalised log counts."""
    log_expr = adata.copy()
    sc.pp.normalize_total(log_expr, target_sum=1e4)
    sc.pp.log1p(log_expr)
    return log_expr.X.toarray()


def rows(name: str, method: str, seed: int) -> list[dict[str, Any]]:
    """Return the rows of one run; meant for a process of its own."""
    found, cost = measured(accuracies, name, method, seed)
    return [{"set": name, "method": key, "seed": seed, "accuracy": value, **cost} for key, value in found.items()]


def main() -> None:
    """Run, merge and report."""
    chosen = arguments(__doc__, SETS, METHODS)
    for name in chosen.sets:
        for method in chosen.methods:
            for seed in chosen.seeds:
                found = apart(rows, name, method, seed)
                table = merge(found, chosen.out / "mapping.csv", keys=["set", "method", "seed"], order={"set": SETS})
                print(*(f"{name} {row['method']} {seed}: {row['accuracy']:.3f}" for row in found), sep="\n", flush=True)
    write_report(
        chosen.out / "mapping.md", "Mapping new batches", __doc__, means(table, ["set", "method"], ["accuracy"])
    )


if __name__ == "__main__":
    main()
