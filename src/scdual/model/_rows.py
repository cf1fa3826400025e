"""Write an array to disk row by row.

Dimension key
    B  rows of a part      C  rows      Z  columns
"""

from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from scdual._checks import check_type
from scdual._writing import write_file


def check_out(out: str | PathLike[str] | None, *, return_dist: bool = False) -> None:
    """Raise an error unless ``out`` is None, or a file of NumPy to which one array is written."""
    check_type("out", out, str, PathLike, optional=True)
    if out is None:
        return
    if Path(out).suffix != ".npy":
        msg = f"`out` is {str(out)!r}, expected a file that ends in '.npy'; `numpy.load(out, mmap_mode='r')` reads it."
        raise ValueError(msg)
    if return_dist:
        msg = "`out` takes the embedding alone; leave out `return_dist`, or `out`."
        raise ValueError(msg)


def write_rows(path: str | PathLike[str], parts: Iterable[np.ndarray]) -> np.ndarray:
    """Return an array that lies in a file, ``(C, Z)``, after its parts were written there one after the other.

    Parameters
    ----------
    path
        File, which is replaced once all is written.
    parts
        Rows, each part of shape ``(B, Z)``.

    Raises
    ------
    ValueError
        If there are no parts.
    """
    with write_file(path) as part, part.open("wb") as file:
        n_rows = 0
        for rows in parts:
            if not n_rows:
                first = rows[:0]
                _write_header(file, first, 0)
            file.write(np.ascontiguousarray(rows, dtype=first.dtype).tobytes())
            n_rows += len(rows)
        if not n_rows:
            msg = f"There are no cells to write to {path}; pass at least one minibatch."
            raise ValueError(msg)
        file.seek(0)
        _write_header(file, first, n_rows)
    return np.asarray(np.load(path, mmap_mode="r"))  # anndata writes arrays, but no memory maps by that name


def _write_header(file: IO[bytes], rows: np.ndarray, n_rows: int) -> None:
    """Write the header of so many rows; NumPy leaves it room to grow, so its length is always the same."""
    described = npy.header_data_from_array_1_0(rows) | {"shape": (n_rows, rows.shape[1]), "fortran_order": False}
    npy.write_array_header_1_0(file, described)
