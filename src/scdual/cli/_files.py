"""Check files before any work is done, read counts and write results."""

import os
import shlex
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from scdual._writing import check_writable, write_hdf5

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
        _check_names(path)
        adata = read_h5ad(path, backed=backed)
        _check_sparse(adata)
        _check_numbers(adata)
    except PermissionError as error:
        msg = f"{path} may not be read: permission denied. Ask its owner."
        raise PermissionError(msg) from error
    except Exception as error:  # h5py and anndata raise eight kinds for files that are cut short or of another kind
        msg = (
            f"{path} cannot be read as AnnData ({first_line(error)}); expected a whole file written by "
            "`adata.write_h5ad`. Write or copy it again."
        )
        raise ValueError(msg) from error
    return adata


def _check_sparse(adata: "AnnData") -> None:
    """Raise ``ValueError`` if a sparse matrix in memory points outside of itself, on which SciPy would crash."""
    from scipy import sparse

    rooms = (adata.layers, adata.obsm, adata.varm, adata.obsp, adata.varp)
    for matrix in (None if adata.isbacked else adata.X, *(room[key] for room in rooms for key in room)):
        if sparse.issparse(matrix) and matrix.format in ("csr", "csc"):
            matrix.check_format(full_check=True)


def _check_names(path: Path) -> None:
    """Raise ``ValueError`` if names of cells or genes are not there, for which anndata would number them."""
    from h5py import File

    with File(path) as file:
        lacking = [name for name in ("obs", "var") if name not in file]
    if lacking:
        msg = f"it has no {' and no '.join(lacking)}"
        raise ValueError(msg)


def _check_numbers(adata: "AnnData") -> None:
    """Raise ``ValueError`` if ``X`` holds text or complex numbers; whether they are counts, the model asks."""
    if adata.X is not None and adata.X.dtype.kind not in "buif":
        msg = f"X holds values of type {adata.X.dtype}"
        raise ValueError(msg)


def write_h5ad(adata: "AnnData", path: Path) -> None:
    """Write the AnnData as a whole or not at all, with texts as categories, as ``adata.write_h5ad`` does."""
    from anndata.io import write_elem

    adata.strings_to_categoricals()
    if adata.raw is not None:
        adata.strings_to_categoricals(adata.raw.var)
    with write_hdf5(path) as file:
        write_elem(file, "/", adata)


def first_line(error: Exception) -> str:
    """Return what an error of another package says, without the pages some add."""
    lines = str(error.args[0] if error.args else "").strip().splitlines()
    return lines[0].rstrip(". ") if lines else type(error).__name__


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
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        shown = folder if path.is_symlink() else path.parent
        msg = f"The directory {shown} of {path} does not exist. Make it first: mkdir -p {shlex.quote(str(shown))}"
        raise FileNotFoundError(msg)
    if path.is_dir():
        msg = f"{path} is a directory, expected the name of a file to write. Add a file name."
        raise IsADirectoryError(msg)
    check_writable(path)
    if path.is_file() or not path.exists():  # it is replaced as a whole, by a new name in the folder
        check_writable(folder)


def check_apart(outputs: Mapping[str, Path | None], inputs: Mapping[str, Path | None]) -> None:
    """Raise ``ValueError`` if something would be written over an input, or over another output.

    Parameters
    ----------
    outputs
        What is to be written, by the names of the options.
    inputs
        What is read; an argument without dashes is the input itself.
    """
    given = {option: path for option, path in outputs.items() if path is not None}
    for option, path in given.items():
        for other, read in inputs.items():
            if read is not None and _is_same(path, read):
                what = f"also the file of {other}" if other.startswith("-") else "the input itself"
                msg = f"{path} is {what}, expected another file to write. Choose another name for {option}."
                raise ValueError(msg)
    for (option, path), (other, second) in combinations(given.items(), 2):
        if _is_same(path, second):
            msg = f"{path} is given to both {option} and {other}, expected two places. Choose another name for one of them."
            raise ValueError(msg)


def _is_same(one: Path, two: Path) -> bool:
    """Return whether two paths mean one place, by whatever links."""
    if one.exists() and two.exists():
        return one.samefile(two)
    return os.path.realpath(one) == os.path.realpath(two)


def check_folder(path: Path, *, option: str) -> None:
    """Raise ``OSError`` unless a folder can be written at the path."""
    if path.exists() and not path.is_dir():
        msg = f"{path} of {option} is a file, expected a directory or a new name. Choose another name."
        raise NotADirectoryError(msg)
    if path.is_dir():
        check_writable(path)
    else:
        check_output(path)
