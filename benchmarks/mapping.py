"""Does a new batch find its place in a trained model, beside scVI?

All batches but the last are the reference, the last is the query. Both models are trained with their defaults, the query
is loaded with `load_query_data` and trained with the defaults as well; SCDual is scored before that, too. Labels are
transferred by the 15 nearest reference cells; the score is the share of right labels.

Usage: python benchmarks/mapping.py [--sets pbmc_3tech kang_ifnb] [--methods scdual ...] [--seeds 0 1 2]
"""

from typing import Any

import scvi
from _cells import apart, arguments, load, measured
from _tables import means, merge, write_report
from anndata import AnnData
from scvi.model import SCVI
from sklearn.neighbors import KNeighborsClassifier

from scdual.model import SCDual

SETS = ("pbmc_3tech", "kang_ifnb", "cellbench_3cl")
METHODS = {"scvi": SCVI, "scdual": SCDual}
N_NEIGHBOURS = 15


def split(adata: AnnData) -> tuple[AnnData, AnnData]:
    """Return reference and query."""
    is_query = adata.obs["batch"] == sorted(adata.obs["batch"].unique())[-1]
    return adata[~is_query].copy(), adata[is_query].copy()


def accuracies(name: str, method: str, seed: int) -> dict[str, float]:
    """Return the accuracy of transferred labels, before and after training on the query."""
    scvi.settings.seed = seed
    cls = METHODS[method]
    reference, query = split(load(name))
    cls.setup_anndata(reference, batch_key="batch")
    model = cls(reference)
    model.train(enable_progress_bar=False)
    known = KNeighborsClassifier(N_NEIGHBOURS)
    known.fit(model.get_latent_representation(), reference.obs["cell_type"])

    mapped = cls.load_query_data(query, model)
    found = {}
    if method == "scdual":
        found["scdual, not trained on the query"] = known.score(
            mapped.get_latent_representation(), query.obs["cell_type"]
        )
    mapped.train(enable_progress_bar=False)
    return found | {method: known.score(mapped.get_latent_representation(), query.obs["cell_type"])}


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
