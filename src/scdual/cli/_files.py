"""Check files before any work is done, and read counts."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from anndata import AnnData


def read_counts(path: Path, *, backed: Literal["r"] | None = None) -> "AnnData":
    """Return the AnnData of a file; with ``backed`` the counts stay on disk.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no AnnData in HDF5.
    """
    check_h5ad(path)
    from anndata import read_h5ad

    try:
        return read_h5ad(path, backed=backed)
    except OSError as error:
        msg = f"{path} cannot be read as AnnData ({error}); expected a file written by `adata.write_h5ad`. Write it again."
        raise ValueError(msg) from error


def check_h5ad(path: Path) -> None:
    """Raise an error unless the path is an existing ``.h5ad`` file."""
    if not path.is_file():
        what = "is a directory" if path.is_dir() else "does not exist"
        msg = f"{path} {what}, expected an .h5ad file. Check the path."
        raise FileNotFoundError(msg)
    check_suffix(path, ".h5ad")


def check_suffix(path: Path, suffix: str) -> None:
    """Raise ``ValueError`` unless the name of the file ends with the suffix."""
    if path.suffix.lower() == suffix:
        return
    advice = f"Give a name that ends with {suffix}."
    if path.suffix.lower() == ".h5mu":
        advice = "MuData is not supported here; write one modality, e.g. `mdata['rna'].write_h5ad('rna.h5ad')`."
    msg = f"{path} ends with {path.suffix or 'no suffix'!r}, expected {suffix}. {advice}"
    raise ValueError(msg)


def check_output(path: Path) -> None:
    """Raise ``OSError`` unless a file can be written at the path."""
    folder = path.parent
    if not folder.is_dir():
        msg = f"The directory {folder} of {path} does not exist. Make it first: mkdir -p {folder}"
        raise FileNotFoundError(msg)
    if path.is_dir():
        msg = f"{path} is a directory, expected the name of a file to write. Add a file name."
        raise IsADirectoryError(msg)
    if not os.access(path if path.exists() else folder, os.W_OK):
        msg = f"{path} cannot be written: permission denied. Choose another place."
        raise PermissionError(msg)
