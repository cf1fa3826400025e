"""Files are checked before any work is done."""

import os
import subprocess
import sys
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from scdual.cli._files import check_folder, check_h5ad, check_output, check_suffix, read_counts, write_h5ad

FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from scdual.cli._files import read_counts, write_h5ad
adata = read_counts(Path(sys.argv[1]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write that is too long then fails, as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, 2 * (int(sys.argv[2]),))
try:
    write_h5ad(adata, Path(sys.argv[1]))
except OSError as error:
    sys.exit(str(error))
"""


def test_reads_counts_in_memory_and_on_disk(annotated_path: Path) -> None:
    assert read_counts(annotated_path).shape == (12, 5)
    assert read_counts(annotated_path, backed="r").isbacked


def test_file_that_is_no_hdf5_is_named(tmp_path: Path) -> None:
    path = tmp_path / "text.h5ad"
    path.write_text("not HDF5")
    with pytest.raises(ValueError, match=r"text.h5ad cannot be read as AnnData"):
        read_counts(path)


@pytest.mark.parametrize("room", ["X", "varp/scdual_regulation"])
@pytest.mark.parametrize("position", [-1, 10**6])
def test_a_damaged_sparse_matrix_is_an_error_and_no_crash(annotated_path: Path, room: str, position: int) -> None:
    with h5py.File(annotated_path, "a") as file:
        if room == "X":
            matrix = csr_matrix(
                file["X"][:] if isinstance(file["X"], h5py.Dataset) else np.ones(file["X"].attrs["shape"])
            )
            del file["X"]
            anndata.io.write_elem(file, "X", matrix)
        file[room]["indices"][0] = position
    with pytest.raises(ValueError, match="cannot be read as AnnData"):
        read_counts(annotated_path)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_file_that_was_cut_short_is_a_one_line_error(annotated_path: Path, share: float) -> None:
    content = annotated_path.read_bytes()
    annotated_path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"annotated.h5ad cannot be read as AnnData .* copy it again\.$") as error:
        read_counts(annotated_path)
    assert "\n" not in str(error.value)


def test_hdf5_that_is_no_anndata_is_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5ad", "w") as file:
        file["matrix"] = 3
    with pytest.raises(ValueError, match=r"other.h5ad cannot be read as AnnData"):
        read_counts(tmp_path / "other.h5ad")


def test_encoding_of_another_version_is_a_one_line_error(annotated_path: Path) -> None:
    with h5py.File(annotated_path, "r+") as file:
        file["obs"].attrs["encoding-version"] = "99.0.0"
    with pytest.raises(ValueError, match=r"cannot be read as AnnData \(No read method registered for .*99"):
        read_counts(annotated_path)


def test_written_file_is_the_one_of_anndata(annotated_path: Path, tmp_path: Path) -> None:
    adata = read_counts(annotated_path)
    adata.obs["text"] = pd.Series(list("abc" * 4), index=adata.obs_names, dtype=object)
    adata.raw = adata.copy()
    write_h5ad(adata, tmp_path / "ours.h5ad")
    adata.write_h5ad(tmp_path / "theirs.h5ad")
    assert contents(tmp_path / "ours.h5ad") == contents(tmp_path / "theirs.h5ad")


def contents(path: Path) -> dict[str, object]:
    """Return everything in an HDF5 file, by its place."""
    found: dict[str, object] = {}

    def look(place: str, item: h5py.Group | h5py.Dataset) -> None:
        found[place] = np.asarray(item).tolist() if isinstance(item, h5py.Dataset) else None
        found[f"{place} attributes"] = {key: np.asarray(value).tolist() for key, value in item.attrs.items()}

    with h5py.File(path) as file:
        look("/", file)
        file.visititems(look)
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of file size")
def test_full_disk_ends_with_one_sentence_and_the_old_file(annotated_path: Path) -> None:
    before = annotated_path.read_bytes()
    for limit in (1_000, 30_000, len(before) - 2_000):
        command = [sys.executable, "-c", FULL_DISK, str(annotated_path), str(limit)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.stderr.startswith(f"There is no room to write {annotated_path}")
        assert ended.returncode == 1
        assert annotated_path.read_bytes() == before


def test_directory_is_no_input(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"is a directory, expected an \.h5ad file"):
        check_h5ad(tmp_path)


@pytest.mark.parametrize("name", ["a.h5ad", "A.H5AD", "b.x.h5ad"])
def test_suffix_in_any_case_passes(name: str) -> None:
    check_suffix(Path(name), ".h5ad")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.csv", r"ends with '\.csv', expected \.h5ad"),
        ("a", "ends with 'no suffix', expected"),
        ("a.h5mu", r"MuData is not supported here; write one modality"),
    ],
)
def test_other_suffix_is_an_error(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_suffix(Path(name), ".h5ad")


def test_output_may_be_new_or_exist(tmp_path: Path) -> None:
    check_output(tmp_path / "new.csv")
    (tmp_path / "old.csv").touch()
    check_output(tmp_path / "old.csv")
    assert not (tmp_path / "new.csv").exists()


def test_output_that_is_a_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="expected the name of a file"):
        check_output(tmp_path)


def test_output_that_may_not_be_written_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError, match="permission denied"):
        check_output(tmp_path / "new.csv")


def test_folder_may_be_new_or_exist(tmp_path: Path) -> None:
    check_folder(tmp_path, option="--out")
    check_folder(tmp_path / "new", option="--out")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="file of --out is a file, expected a directory"):
        check_folder(tmp_path / "file", option="--out")
    with pytest.raises(FileNotFoundError, match="mkdir -p"):
        check_folder(tmp_path / "nope" / "new", option="--out")


@pytest.mark.parametrize("kind", ["S1", "complex"])
def test_values_that_are_no_numbers_are_a_one_line_error(annotated_path: Path, kind: str) -> None:
    with h5py.File(annotated_path, "a") as file:
        del file["X"]
        file["X"] = np.ones((12, 5), kind)
        file["X"].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    for backed in (None, "r"):
        with pytest.raises(ValueError, match="cannot be read as AnnData .X holds values of type"):
            read_counts(annotated_path, backed=backed)


@pytest.mark.parametrize("lost", ["obs", "var"])
def test_names_are_not_made_up(annotated_path: Path, lost: str) -> None:
    with h5py.File(annotated_path, "a") as file:
        del file[lost]
    for backed in (None, "r"):
        with pytest.raises(ValueError, match=f"cannot be read as AnnData .it has no {lost}"):
            read_counts(annotated_path, backed=backed)
