"""Read the file of an edge table."""

import zlib
from os import PathLike
from pathlib import Path

import pandas as pd

_SEPARATORS = (",", "\t", ";")


def read_edge_file(path: str | PathLike[str], *, role: str) -> pd.DataFrame:
    """Return the table in a file of text with a line of column names, separated by commas, tabs or semicolons.

    Parameters
    ----------
    path
        The file; it may be compressed, as :func:`pandas.read_csv` understands it.
    role
        What the table is, for messages.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no table of text.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        what = "is a folder" if file.is_dir() else "is no file"
        msg = f"The {role} {str(path)!r} {what}, expected a table, or the path of a CSV or TSV file. Check the path."
        raise FileNotFoundError(msg)
    try:
        n_columns = {separator: _read(file, separator, nrows=0).shape[1] for separator in _SEPARATORS}
        return _read(file, max(n_columns, key=lambda separator: n_columns[separator]))
    except (ValueError, OSError, EOFError, zlib.error) as error:  # pandas' own errors are ValueErrors
        reason = " ".join(str(error).split())
        msg = (
            f"The {role} {str(path)!r} cannot be read as CSV or TSV ({reason}); expected text with a line of column names. "
            "Save it as CSV, or read it yourself and pass the DataFrame."
        )
        raise ValueError(msg) from error


def _read(file: Path, separator: str, nrows: int | None = None) -> pd.DataFrame:
    decimal = "," if separator == ";" else "."  # as spreadsheets write where the comma is decimal
    return pd.read_csv(
        file,
        sep=separator,
        decimal=decimal,
        nrows=nrows,
        encoding="utf-8-sig",
        skipinitialspace=True,
        low_memory=False,
    )
