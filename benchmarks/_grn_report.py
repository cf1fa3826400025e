"""Write the results of the network benchmark as Markdown."""

import pandas as pd
from _tables import markdown, number

LARGEST_DENSITY = 1 / 3  # above it, a random order is nearly as good as any
PERMUTED = " permuted"  # behind the name of a method
ABUNDANCE = ("abundance of regulators", "abundance of targets")
CURATED = "pbmc3k"  # literature about well-known genes in other cells, which rewards their abundance
NEW = ("boolode_HSC", "beeline_mESC", "sergio_DS4", "papalexi")  # nothing was chosen with them in sight
SIGNATURES = "perturbation_signatures"
RATIOS = ("epr", "auprc_ratio")
SCORES = {
    "epr": "EPR",
    "auprc_ratio": "AUPRC ratio",
    "auroc": "AUROC",
    "auroc_within_regulator": "AUROC within regulator",
    "auroc_within_target": "AUROC within target",
    "sign_accuracy": "sign",
    "balanced_sign_accuracy": "sign, balanced",
    "seconds": "seconds",
    "peak_memory_mb": "MB",
}
EXPLANATION = """\
Written by `make bench-grn`; the numbers are in `grn.csv`. EPR (early precision ratio) and AUPRC ratio: random is 1.
AUROC and balanced sign accuracy: random is 0.5. AUROC within regulator is the mean over regulators of the AUROC of their
targets, so that it does not matter which regulators have many edges; within target the same with the parts exchanged.
*Abundance of targets* is the mean expression of the target and nothing else, *abundance of regulators* that of the regulator.
Sign accuracy is to be compared with the share of the commoner sign.
MB is the peak memory of the whole process, of which Python and its libraries alone take several hundred.
"""


def report(table: pd.DataFrame) -> str:
    """Return the summary and one table per reference."""
    groups = {" / ".join(key): rows for key, rows in table.groupby(["set", "network"], sort=False)}
    parts = [
        "# Recovery of known regulatory networks\n",
        EXPLANATION,
        summary(groups),
        group_means(table),
        controls(groups),
    ]
    return "\n".join([*parts, *(reference_part(name, rows) for name, rows in groups.items())])


def reference_part(name: str, rows: pd.DataFrame) -> str:
    """Return the scores of all methods on one reference."""
    first = rows.iloc[0]
    facts = f"{first.n_edges} edges among {first.n_candidates} candidates, density {first.density:.3f}"
    if pd.notna(first.sign_majority):
        facts += f"; commoner sign {first.sign_majority:.3f}"
    rows = rows.reindex(columns=["method", *SCORES])  # a table of before lacks the newer scores
    body = [[row["method"], *(number(row[key]) for key in SCORES)] for _, row in rows.iterrows()]
    return f"## {name}\n\n{facts}\n\n{markdown(['method', *SCORES.values()], body)}"


def summary(groups: dict[str, pd.DataFrame]) -> str:
    """Return SCDual beside the best baseline of each reference and score."""
    body: list[list[str]] = []
    for name, rows in groups.items():
        line, ours = [name], rows[rows["method"] == "scdual"]
        baselines = rows[_is_baseline(rows["method"])]
        if ours.empty or baselines.empty:
            continue
        for key in RATIOS:
            best = baselines.loc[baselines[key].idxmax()]
            ratio = ours[key].item() / best[key]
            line += [f"{best[key]:.3f} ({best['method']})", number(ours[key].item()), f"{ratio:.2f}"]
        body.append([*line, *_signs(ours, baselines)])
    if not body:
        return "## Summary\n\nThere are no results of SCDual beside a baseline yet.\n"
    score_columns = [
        f"{SCORES[key]}, {what}" for key in RATIOS for what in ("best baseline", "SCDual", "SCDual / best")
    ]
    header = ["reference", *score_columns, "sign, best baseline", "sign, SCDual", "commoner sign"]
    return f"## Summary\n\n{markdown(header, body)}"


def group_means(table: pd.DataFrame) -> str:
    """Return for each method the mean over the references of a group of its score over that of the best baseline.

    Where rows of a method are missing, a number behind the mean says on how many references it rests.
    """
    table = table[table["density"] <= LARGEST_DENSITY]
    ratios = {name: _over_best(rows) for name, rows in _reference_groups(table).items() if not rows.empty}
    if not ratios:
        return ""
    methods = [name for name in table["method"].unique() if not name.endswith(PERMUTED)]
    body = [[method, *(_mean(wide, method) for both in ratios.values() for wide in both)] for method in methods]
    header = [f"{SCORES[key]}, {name}" for name in ratios for key in RATIOS]
    counts = ", ".join(f"{name}: {len(both[0])} references" for name, both in ratios.items())
    note = (
        f"Density at most a third. {counts}. A number in brackets: so many of them have a row of the method. "
        "*Best* is the best of the baselines that have a row, controls left out."
    )
    return f"## Mean ratio to the best baseline of each reference\n\n{markdown(['method', *header], body)}\n{note}\n"


def _reference_groups(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the rows of each group of references; signatures are of other cells and stand alone."""
    is_signature, is_new = table["network"] == SIGNATURES, table["set"].isin(NEW)
    old = table[~is_signature & ~is_new]
    return {
        "without PBMC 3k": old[old["set"] != CURATED],
        "with PBMC 3k": old,
        "new sets": table[is_new],
        "perturbation signatures": table[is_signature],
    }


def _over_best(rows: pd.DataFrame) -> list[pd.DataFrame]:
    """Return for each score a table of ratios to the best baseline, row = reference and column = method."""
    tables = []
    for key in RATIOS:
        wide = rows.pivot_table(index=["set", "network"], columns="method", values=key)
        best = wide.loc[:, _is_baseline(wide.columns.to_series())].max(axis=1)
        tables.append(wide.div(best, axis=0))
    return tables


def _mean(wide: pd.DataFrame, method: str) -> str:
    values = wide[method].dropna() if method in wide else pd.Series(dtype=float)
    if values.empty:
        return ""
    return f"{values.mean():.3f}" + ("" if len(values) == len(wide) else f" ({len(values)})")


def controls(groups: dict[str, pd.DataFrame]) -> str:
    """Return the AUPRC ratios of methods that know the genes but no edges."""
    rows = pd.concat(groups, names=["reference"]).reset_index("reference")
    rows = rows[_is_control(rows["method"])].drop_duplicates(["reference", "method"])
    if rows.empty:
        return ""
    names = rows["method"].unique()
    wide = rows.pivot(index="reference", columns="method", values="auprc_ratio").reindex(groups)[names]
    body = [[name, *map(number, values)] for name, values in zip(wide.index, wide.to_numpy(), strict=True)]
    part = f"## What genes tell without edges: AUPRC ratio\n\n{markdown(['reference', *names], body)}"
    return part + _sizes(pd.concat(groups.values()))


def _sizes(rows: pd.DataFrame) -> str:
    """Return the root mean square of SCDual's weights on permuted genes over that on the data, for each set."""
    if "root_mean_square" not in rows:
        return ""
    wide = rows.pivot_table(index="set", columns="method", values="root_mean_square", sort=False)
    if not {"scdual", "scdual" + PERMUTED} <= set(wide):
        return ""
    share = (wide["scdual" + PERMUTED] / wide["scdual"]).dropna()
    body = [[name, number(value)] for name, value in share.items()]
    title = "## Root mean square of the weights on permuted genes over that on the data"
    return f"\n{title}\n\n{markdown(['set', 'scdual'], body)}" if body else ""


def _is_control(method: pd.Series) -> pd.Series:
    return method.str.endswith(PERMUTED) | method.isin(ABUNDANCE)


def _is_baseline(method: pd.Series) -> pd.Series:
    return ~_is_control(method) & ~method.str.startswith("scdual")


def _signs(ours: pd.DataFrame, baselines: pd.DataFrame) -> list[str]:
    best = baselines["sign_accuracy"].max()
    return [number(value) for value in (best, ours["sign_accuracy"].item(), ours["sign_majority"].item())]
