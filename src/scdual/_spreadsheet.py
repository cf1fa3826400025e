"""Names in CSV files that a spreadsheet program would run as formulas, such as ``=cmd`` or ``-1+1``.

They get an apostrophe in front, which these programs take as "this is text". A name that has apostrophes before such a
beginning gets one more, so that nothing is lost: the reader takes one away.
"""

import re

import pandas as pd

_FORMULA = re.compile(r"(?='*[=+\-@\t\r])")  # what Excel, LibreOffice and Google Sheets take for the start of a formula
_GUARDED = re.compile(r"'(?='*[=+\-@\t\r])")


def guarded(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with an apostrophe before texts that look like formulas; numbers stay."""
    return _in_texts(frame, _FORMULA, "'")


def unguarded(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table as it was before :func:`guarded`."""
    return _in_texts(frame, _GUARDED, "")


def _in_texts(frame: pd.DataFrame, beginning: re.Pattern[str], replacement: str) -> pd.DataFrame:
    """Return the table with another beginning of the texts that have it; tables may have 10^7 rows of few names."""
    changed = {}
    for column in frame.columns:
        names = [name for name in frame[column].unique() if isinstance(name, str) and beginning.match(name)]
        if names:
            new = {name: beginning.sub(replacement, name, count=1) for name in names}
            changed[column] = frame[column].map(lambda name, new=new: new.get(name, name))
    return frame.assign(**changed)
