"""An array that is written row by row is the array, and a file is whole or not there."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from scdual.model._rows import check_out, write_rows


@pytest.mark.parametrize("n_rows", [1, 9, 10, 123_456])
def test_parts_make_the_array(tmp_path: Path, n_rows: int) -> None:
    expected = np.random.default_rng(0).normal(size=(n_rows, 3)).astype(np.float32)
    found = write_rows(tmp_path / "rows.npy", (expected[i : i + 1000] for i in range(0, n_rows, 1000)))
    assert isinstance(found.base, np.memmap)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.load(tmp_path / "rows.npy"), expected)


def test_columns_that_lie_first_are_written_as_rows(tmp_path: Path) -> None:
    expected = np.asfortranarray(np.arange(12.0).reshape(4, 3))
    np.testing.assert_array_equal(write_rows(tmp_path / "rows.npy", [expected[:3], expected[3:]]), expected)


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.npy"
    np.save(path, [1])

    def failing() -> Iterator[np.ndarray]:
        yield np.ones((2, 2))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_rows(path, failing())
    with pytest.raises(ValueError, match="no cells to write"):
        write_rows(path, [])
    assert np.load(path).tolist() == [1]
    assert [each.name for each in tmp_path.iterdir()] == ["rows.npy"]


def test_only_files_of_numpy_are_written() -> None:
    check_out(None, return_dist=True)
    check_out("latent.npy")
    with pytest.raises(ValueError, match=r"`out` is 'cells.h5ad', expected a file that ends in '.npy'"):
        check_out("cells.h5ad")
    with pytest.raises(ValueError, match="leave out `return_dist`"):
        check_out("latent.npy", return_dist=True)
    with pytest.raises(TypeError, match="`out` is 3"):
        check_out(3)
