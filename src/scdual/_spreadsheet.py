"""Names in CSV files that a spreadsheet program would run as formulas, such as ``=cmd`` or ``-1+1``.

They get an apostrophe in front, which these programs take as "this is text". A name that has apostrophes before such a
beginning gets one more, so that nothing is lost: the reader takes one away.
"""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

_FORMULA = re.compile(r"(?='*[=+\-@\t\r])")  # what Excel, LibreOffice and Google Sheets take for the start of a formula
_GUARDED = re.compile(r"'(?='*[=+\-@\t\r])")


def to_csv(frame: pd.DataFrame, path: Path | None = None, *, separator: str = ",") -> str | None:
    """Write a guarded table to a file, or return it as text.

    Python 3.11 does not quote a name that ends with a carriage return, as those of a list from Windows do.
    """
    frame = guarded(frame)
    broken = any("\r" in name for _, names in _texts(frame) for name in names)
    quoting = csv.QUOTE_NONNUMERIC if broken else csv.QUOTE_MINIMAL
    return frame.to_csv(path, index=False, quoting=quoting, sep=separator)


def guarded(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with an apostrophe before texts that look like formulas; numbers stay."""
    return _in_texts(frame, _FORMULA, "'")


def unguarded(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table as it was before :func:`guarded`."""
    return _in_texts(frame, _GUARDED, "")


def _in_texts(frame: pd.DataFrame, beginning: re.Pattern[str], replacement: str) -> pd.DataFrame:
    """Return the table with another beginning of the texts that have it; tables may have 10^7 rows of few names."""
    changed = {}
    for column, names in _texts(frame):
        new = {name: beginning.sub(replacement, name, count=1) for name in names if beginning.match(name)}
        if new:
            changed[column] = frame[column].map(lambda name, new=new: new.get(name, name))
    return frame.assign(**changed)


def _texts(frame: pd.DataFrame) -> Iterator[tuple[str, list[str]]]:
    """Yield the columns that hold texts, each with its different texts."""
    for column in frame.select_dtypes(exclude="number"):
        yield column, [name for name in frame[column].unique() if isinstance(name, str)]
