"""Files are checked before any work is done."""

import os
from pathlib import Path

import pytest

from scdual.cli._files import check_h5ad, check_output, check_suffix, read_counts


def test_reads_counts_in_memory_and_on_disk(annotated_path: Path) -> None:
    assert read_counts(annotated_path).shape == (12, 5)
    assert read_counts(annotated_path, backed="r").isbacked


def test_file_that_is_no_hdf5_is_named(tmp_path: Path) -> None:
    path = tmp_path / "text.h5ad"
    path.write_text("not HDF5")
    with pytest.raises(ValueError, match=r"text.h5ad cannot be read as AnnData"):
        read_counts(path)


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
