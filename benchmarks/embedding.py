"""Does the embedding of SCDual keep cell types apart and batches together, beside PCA, Harmony and scVI?

Every method gets the same counts and its own defaults, once per seed, in a process of its own whose peak memory (Python
and libraries included) is recorded. scib-metrics scores the embeddings: bio conservation and batch correction, and of
both the total, 0.6 and 0.4. Three numbers stand beside them: *depth*, the share of the variance within type and batch that
log depth explains; *moved*, how far centres of types move when cells keep 43 % of their molecules, over the spread of
the centres (0 is best for both); and *mixed*, the share of other batches among the 15 nearest cells of the same type over that
by chance (1 is best). Results are merged into the table that exists, row by row.

Usage: python benchmarks/embedding.py [--sets pbmc3k ...] [--methods scdual ...] [--seeds 0 1 2]
"""

import argparse
import warnings

import _embedding_report
import numpy as np
from _cells import apart, check_data, load, measured, parser_of
from _depth import depth_share, mixing, movement, thinned
from _tables import merge

SETS = ("pbmc3k", "paul15", "pbmc_3tech", "kang_ifnb", "cellbench_3cl", "pbmc_2tech")
USUAL = ("pca", "harmony", "scvi", "scdual")
KEYS = ["set", "method", "seed"]


def embed(name: str, method: str, seed: int) -> tuple[np.ndarray, dict[str, float]]:
    """Return an embedding, what it cost and what it tells of depth; meant for a process of its own."""
    from _embedding_methods import METHODS

    adata = load(name)
    (found, of_thinned), cost = measured(METHODS[method], adata, thinned(adata), seed)
    told = {"depth_share": depth_share(adata, found), "mixing": mixing(adata, found)}
    if of_thinned is not None:
        told["movement"] = movement(adata, found, of_thinned)
    return found, cost | {key: round(float(value), 4) for key, value in told.items()}


def score(name: str, embeddings: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Return the scores of scib-metrics for each embedding; meant for a process of its own."""
    from _embedding_methods import components
    from scib_metrics.benchmark import BatchCorrection, Benchmarker, BioConservation

    warnings.simplefilter("ignore")
    adata = load(name)
    adata.obsm["pca"] = components(adata, 0)
    adata.obsm.update(embeddings)
    several = adata.obs["batch"].nunique() > 1
    benchmarker = Benchmarker(
        adata,
        batch_key="batch",
        label_key="cell_type",
        embedding_obsm_keys=list(embeddings),
        bio_conservation_metrics=BioConservation(),
        batch_correction_metrics=BatchCorrection() if several else None,
        pre_integrated_embedding_obsm_key="pca",
        progress_bar=False,
    )
    benchmarker.benchmark()
    scores = benchmarker.get_results(clean_names=False).loc[list(embeddings)].astype(float).round(4)
    scores.columns = [str(key).lower().replace(" ", "_") for key in scores.columns]
    return scores.to_dict(orient="index")


def arguments() -> argparse.Namespace:
    from _embedding_methods import METHODS

    parser = parser_of(__doc__, SETS, METHODS, usual_methods=USUAL)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    return parser.parse_args()


def main() -> None:
    """Run, merge and report."""
    chosen = arguments()
    check_data()
    for name in chosen.sets:
        several = load(name).obs["batch"].nunique() > 1
        embeddings, costs = {}, {}
        for method in chosen.methods:
            for seed in chosen.seeds if several or method != "harmony" else ():
                embeddings[f"{method} {seed}"], cost = apart(embed, name, method, seed)
                costs[f"{method} {seed}"] = {"set": name, "method": method, "seed": seed, **cost}
                print(f"{name} {method} {seed}: {cost['seconds']:.1f} s, {cost['peak_memory_mb']} MB", flush=True)
        scores = apart(score, name, embeddings)
        order = {"set": SETS, "method": _embedding_report.METHODS}
        rows = [costs[key] | scores[key] for key in embeddings]
        table = merge(rows, chosen.out / "embedding.csv", keys=KEYS, order=order)
        (chosen.out / "embedding.md").write_text(_embedding_report.report(table))


if __name__ == "__main__":
    main()
