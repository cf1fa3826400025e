"""Write the results of the embedding benchmark as Markdown."""

import pandas as pd
from _ablations import ABLATIONS
from _tables import markdown, mean_and_spread, number

METHODS = ("pca", "harmony", "scvi", "scdual", *(f"scdual, {part}" for part in ABLATIONS))
SCORES = {"total": "total", "bio_conservation": "bio", "batch_correction": "batch"}
SCORES |= {"depth_share": "depth", "movement": "moved", "mixing": "mixed"}
EXPLANATION = """\
Written by `make bench-embedding`; the numbers are in `embedding.csv`. Scores of scib-metrics, mean over seeds with the
standard deviation between seeds behind ±. Total is 0.6 bio conservation + 0.4 batch correction, or bio conservation
where there is one batch. Depth: share of the variance within type and batch that log depth explains. Moved: how far centres
of types move when cells keep 43 % of their molecules, over the spread of the centres. Mixed: share of other batches among the
15 nearest cells of the same type, over that by chance. Rows without these three are older. MB is the peak memory of the
whole process.
"""


def report(table: pd.DataFrame) -> str:
    """Return the totals of all sets, and one table per set."""
    table = table.assign(total=table.get("total", pd.Series(dtype=float)).fillna(table["bio_conservation"]))
    sets = dict(iter(table.groupby("set", sort=False)))
    parts = ["# Quality of the embedding\n", EXPLANATION, summary(table), *(part(*item) for item in sets.items())]
    return "\n".join(parts)


def summary(table: pd.DataFrame) -> str:
    """Return the mean total of each method on each set."""
    total = table.pivot_table(index="method", columns="set", values="total", sort=False)
    total = total.reindex([name for name in METHODS if name in total.index])
    total["mean"] = total.mean(axis=1, skipna=False)
    body = [[str(name), *map(number, row)] for name, row in zip(total.index, total.to_numpy(), strict=True)]
    return f"## Total\n\n{markdown(['method', *total.columns], body)}"


def part(name: str, rows: pd.DataFrame) -> str:
    """Return the scores of all methods on one set."""
    shown = {key: label for key, label in SCORES.items() if key in rows and rows[key].notna().any()}
    body = []
    for method, runs in rows.groupby("method", sort=False):
        scores = [mean_and_spread(runs[key]) for key in shown]
        cost = [number(runs["seconds"].mean()), f"{runs['peak_memory_mb'].max():.0f}"]
        body.append([str(method), str(len(runs)), *scores, *cost])
    return f"## {name}\n\n{markdown(['method', 'seeds', *shown.values(), 'seconds', 'MB'], body)}"
