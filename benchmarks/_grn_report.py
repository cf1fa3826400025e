"""Write the results of the network benchmark as Markdown."""

import pandas as pd
from _tables import markdown, number

LARGEST_DENSITY = 0.3  # above it, a random order is nearly as good as any
PERMUTED = " permuted"  # behind the name of a method
ABUNDANCE = ("abundance of regulators", "abundance of targets")
CURATED = "pbmc3k"  # literature about well-known genes in other cells, which rewards their abundance
SCORES = {
    "epr": "EPR",
    "auprc_ratio": "AUPRC ratio",
    "auroc": "AUROC",
    "sign_accuracy": "sign",
    "balanced_sign_accuracy": "sign, balanced",
    "seconds": "seconds",
    "peak_memory_mb": "MB",
}
EXPLANATION = """\
Written by `make bench-grn`; the numbers are in `grn.csv`. EPR (early precision ratio) and AUPRC ratio: random is 1.
AUROC and balanced sign accuracy: random is 0.5. Sign accuracy is to be compared with the share of the commoner sign.
MB is the peak memory of the whole process, of which Python and its libraries alone take several hundred.
"""


def report(table: pd.DataFrame) -> str:
    """Return the summary and one table per reference."""
    groups = {" / ".join(key): rows for key, rows in table.groupby(["set", "network"], sort=False)}
    parts = ["# Recovery of known regulatory networks\n", EXPLANATION, summary(groups), controls(groups)]
    return "\n".join([*parts, *(reference_part(name, rows) for name, rows in groups.items())])


def reference_part(name: str, rows: pd.DataFrame) -> str:
    """Return the scores of all methods on one reference."""
    first = rows.iloc[0]
    facts = f"{first.n_edges} edges among {first.n_candidates} candidates, density {first.density:.3f}"
    if pd.notna(first.sign_majority):
        facts += f"; commoner sign {first.sign_majority:.3f}"
    body = [[row["method"], *(number(row[key]) for key in SCORES)] for _, row in rows.iterrows()]
    return f"## {name}\n\n{facts}\n\n{markdown(['method', *SCORES.values()], body)}"


def summary(groups: dict[str, pd.DataFrame]) -> str:
    """Return SCDual beside the best baseline of each reference and score."""
    body: list[list[str]] = []
    ratios: dict[str, list[float]] = {"epr": [], "auprc_ratio": []}
    for name, rows in groups.items():
        line, ours = [name], rows[rows["method"] == "scdual"]
        baselines = rows[~_is_control(rows["method"]) & ~rows["method"].str.startswith("scdual")]
        if ours.empty or baselines.empty:
            continue
        for key, values in ratios.items():
            best = baselines.loc[baselines[key].idxmax()]
            ratio = ours[key].item() / best[key]
            line += [f"{best[key]:.3f} ({best['method']})", number(ours[key].item()), f"{ratio:.2f}"]
            if rows["density"].iloc[0] <= LARGEST_DENSITY and not name.startswith(CURATED):
                values.append(ratio)
        body.append([*line, *_signs(ours, baselines)])
    if not body:
        return "## Summary\n\nThere are no results of SCDual beside a baseline yet.\n"
    means = ", ".join(f"{SCORES[key]} {sum(values) / len(values):.3f}" for key, values in ratios.items() if values)
    score_columns = [
        f"{SCORES[key]}, {what}" for key in ratios for what in ("best baseline", "SCDual", "SCDual / best")
    ]
    header = ["reference", *score_columns, "sign, best baseline", "sign, SCDual", "commoner sign"]
    note = f"Mean ratio over references with a density of at most {LARGEST_DENSITY}, {CURATED} left out: {means}."
    return f"## Summary\n\n{markdown(header, body)}\n{note}\n"


def controls(groups: dict[str, pd.DataFrame]) -> str:
    """Return the AUPRC ratios of methods that know the genes but no edges."""
    rows = pd.concat(groups, names=["reference"]).reset_index("reference")
    rows = rows[_is_control(rows["method"])].drop_duplicates(["reference", "method"])
    if rows.empty:
        return ""
    names = rows["method"].unique()
    wide = rows.pivot(index="reference", columns="method", values="auprc_ratio").reindex(groups)[names]
    body = [[name, *map(number, values)] for name, values in zip(wide.index, wide.to_numpy(), strict=True)]
    return f"## What genes tell without edges: AUPRC ratio\n\n{markdown(['reference', *names], body)}"


def _is_control(method: pd.Series) -> pd.Series:
    return method.str.endswith(PERMUTED) | method.isin(ABUNDANCE)


def _signs(ours: pd.DataFrame, baselines: pd.DataFrame) -> list[str]:
    best = baselines["sign_accuracy"].max()
    return [number(value) for value in (best, ours["sign_accuracy"].item(), ours["sign_majority"].item())]
