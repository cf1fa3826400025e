"""An edge table in a file reads as the table itself."""

from pathlib import Path

import pandas as pd
import pytest

from scdual.grn._edges import read_edges

TABLE = pd.DataFrame({"source": ["GATA1", "SPI1"], "target": ["HBB", "CD14"], "weight": [1.0, -0.25]})


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("edges.csv", {}),
        ("edges.tsv", {"sep": "\t"}),
        ("edges.txt", {"sep": "\t"}),
        ("edges.csv.gz", {}),
        ("semicolons.csv", {"sep": ";", "decimal": ","}),
        ("points.csv", {"sep": ";"}),
        ("byte_order_mark.csv", {"encoding": "utf-8-sig"}),
    ],
)
@pytest.mark.parametrize("kind", [str, Path])
def test_files_of_text_are_read(tmp_path: Path, name: str, options: dict, kind: type) -> None:
    TABLE.to_csv(tmp_path / name, index=False, **options)
    pd.testing.assert_frame_equal(read_edges(kind(tmp_path / name)), read_edges(TABLE))


def test_blanks_after_commas_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "edges.csv").write_text("source, target, weight\nGATA1, HBB, 1\nSPI1 , CD14, -0.25\n", encoding="utf-8")
    pd.testing.assert_frame_equal(read_edges(tmp_path / "edges.csv"), read_edges(TABLE))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "No columns to parse", id="empty"),
        pytest.param(bytes(range(256)), "'utf-8' codec can't decode", id="no text"),
        pytest.param(b"source,target\na,b\nc,d,e,f\n", "Expected 2 fields in line 3, saw 4", id="ragged"),
        pytest.param(b"GATA1\tHBB\tActivation\n", "a file needs a line of column names", id="no column names"),
    ],
)
def test_a_file_that_is_no_table_is_an_error(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "edges.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_edges(tmp_path / "edges.csv", role="prior")


def test_a_broken_archive_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "edges.csv.gz").write_bytes(b"\x1f\x8bjunk")
    with pytest.raises(ValueError, match="The prior .*cannot be read as CSV or TSV"):
        read_edges(tmp_path / "edges.csv.gz", role="prior")


def test_a_missing_file_and_a_folder_are_errors_that_say_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="The prior 'collectri' is no file, expected a table, or the path"):
        read_edges("collectri", role="prior")
    with pytest.raises(FileNotFoundError, match="is a folder"):
        read_edges(tmp_path)
