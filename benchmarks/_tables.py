"""Keep and print the tables of results."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd


def merge(
    rows: list[dict[str, Any]], path: Path, *, keys: list[str], order: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """Write rows into the table at ``path``, where they replace those with the same keys; return the table."""
    table = pd.DataFrame(rows)
    if path.exists():
        table = pd.concat([pd.read_csv(path), table]).drop_duplicates(keys, keep="last")
    place = {name: {key: i for i, key in enumerate(names)} for name, names in order.items()}
    table = table.sort_values(
        keys, key=lambda column: column.map(place[column.name]) if column.name in place else column, ignore_index=True
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)
    return table


def number(value: float) -> str:
    """Return a value with three decimals, or four digits if it is large; nothing if it is missing."""
    if pd.isna(value):
        return ""
    if abs(value) < 20:
        return f"{value:.3f}"
    return f"{value:.4g}" if abs(value) < 1_000 else f"{value:.0f}"


def mean_and_spread(values: pd.Series) -> str:
    """Return the mean over seeds, and the standard deviation between them behind ± if there are several."""
    spread = f" ± {number(values.std())}" if values.count() > 1 else ""
    return f"{number(values.mean())}{spread}"


def markdown(header: list[str], body: list[list[str]]) -> str:
    """Return a table whose first column is text and whose others are numbers."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *body]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def means(table: pd.DataFrame, by: list[str], values: Sequence[str]) -> str:
    """Return means and spreads over seeds as Markdown."""
    body = []
    for key, runs in table.groupby(by, sort=False):
        scores = [mean_and_spread(runs[name]) for name in values]
        body.append([", ".join(map(str, key)), *scores, str(len(runs))])
    return markdown([", ".join(by), *values, "seeds"], body)


def write_report(path: Path, title: str, doc: str, table: str) -> None:
    """Write a table as Markdown below the description of its script."""
    description = doc.partition("Usage:")[0].strip()
    path.write_text(f"# {title}\n\n{description}\n\n{table}")
