"""`scdual edges` writes the network of a file as a table, or says what is there instead."""

import io
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import anndata
import h5py
import pandas as pd
import pytest
from typer.testing import CliRunner

from scdual._writing import lock
from scdual.cli._app import app
from scdual.cli._edges import edges
from scdual.grn import RegulatoryNetwork, write_network


def run(*args: object, code: int = 0) -> tuple[str, str]:
    result = CliRunner().invoke(app, ["edges", *map(str, args)])
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


def test_writes_all_edges_strongest_first(annotated_path: Path, network: RegulatoryNetwork, tmp_path: Path) -> None:
    out = tmp_path / "edges.csv"
    stdout, stderr = run(annotated_path, "-o", out)
    pd.testing.assert_frame_equal(pd.read_csv(out), network.to_frame(), check_dtype=False)
    assert stdout == ""
    assert stderr == f"5 edges written to {out}\n"


def test_without_a_file_the_table_goes_to_stdout(annotated_path: Path, network: RegulatoryNetwork) -> None:
    stdout, stderr = run(annotated_path, "--top", 2)
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(stdout)), network.to_frame(2), check_dtype=False)
    assert stderr == ""


def test_names_that_spreadsheets_would_run_get_an_apostrophe(annotated_path: Path, tmp_path: Path) -> None:
    adata = anndata.read_h5ad(annotated_path)
    adata.var_names = ["=cmd|' /C calc'!A0", "-GATA1", "LYZ", "HBB", "CD14"]
    adata.write_h5ad(annotated_path)
    run(annotated_path, "-o", tmp_path / "edges.csv")
    table = pd.read_csv(tmp_path / "edges.csv")
    assert set(table["source"]) == {"'=cmd|' /C calc'!A0", "'-GATA1"}
    assert (table["weight"] < 0).any()  # numbers are numbers


def test_escape_codes_reach_a_file_but_no_terminal(
    annotated_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    adata = anndata.read_h5ad(annotated_path)
    adata.var_names = ["SPI1\x1b[2J", "GATA1", "LYZ", "HBB", "CD14"]
    adata.write_h5ad(annotated_path)
    for is_terminal, name in ((False, "SPI1\x1b[2J"), (True, r"SPI1\x1b[2J")):
        monkeypatch.setattr(sys.stdout, "isatty", lambda is_terminal=is_terminal: is_terminal, raising=False)
        edges(annotated_path, out=None, top=1, group=None)
        assert capsys.readouterr().out.splitlines()[1].startswith(f"{name},")


def test_output_that_is_being_written_is_left_alone(annotated_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "edges.csv"
    out.write_text("old")
    with in_another_thread(lambda: lock(out)):
        _, stderr = run(annotated_path, "-o", out, code=1)
    assert (
        stderr
        == f"Error: {out} is being written by another process. Wait until that one ends, or choose another name.\n"
    )
    assert out.read_text() == "old"


@contextmanager
def in_another_thread(enter: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """Be in a context manager in a thread of its own."""
    stack = ExitStack()
    with ThreadPoolExecutor(1) as thread:
        thread.submit(stack.enter_context, enter()).result()
        yield
        thread.submit(stack.close).result()


@pytest.mark.parametrize("make", [Path.symlink_to, Path.hardlink_to])
def test_result_is_not_replaced_by_its_table(
    annotated_path: Path, tmp_path: Path, make: Callable[[Path, Path], None]
) -> None:
    before = annotated_path.read_bytes()
    make(tmp_path / "link.h5ad", annotated_path)
    for out in (annotated_path, tmp_path / "link.h5ad"):
        _, stderr = run(annotated_path, "-o", out, code=1)
        assert stderr == (
            f"Error: {out} is the input itself, expected another file to write. Choose another name for --out.\n"
        )
        assert out.read_bytes() == before


def test_group_chooses_its_network(annotated_path: Path) -> None:
    stdout, _ = run(annotated_path, "--group", "NK")
    assert stdout.splitlines() == ["source,target,weight", "SPI1,LYZ,0.9"]


def test_group_may_hold_a_slash(annotated_path: Path) -> None:
    stdout, _ = run(annotated_path, "--group", "CD4+/CD8+")
    assert len(stdout.splitlines()) == 3


def test_the_table_carries_the_evidence(annotated_path: Path) -> None:
    stdout, _ = run(annotated_path)
    assert stdout.splitlines() == [
        "source,target,weight,sd,support",
        "SPI1,LYZ,0.9,0.5,1.0",
        "GATA1,HBB,0.8,0.0,0.5",
        "SPI1,CD14,0.7,0.125,0.875",
        "SPI1,GATA1,-0.5,0.25,0.75",
        "GATA1,SPI1,-0.4,0.75,0.0",
    ]
    stdout, _ = run(annotated_path, "--group", "CD4+/CD8+")
    assert stdout.splitlines()[1:] == ["SPI1,LYZ,0.9,0.5,1.0", "GATA1,HBB,0.8,0.0,0.5"]


@pytest.mark.parametrize(
    ("args", "targets"),
    [
        (["--min-support", "0"], ["LYZ", "HBB", "CD14", "GATA1", "SPI1"]),
        (["--min-support", "0.75"], ["LYZ", "CD14", "GATA1"]),
        (["--min-support", "0.75", "--top", "2"], ["LYZ", "CD14"]),  # the two strongest of those with support
        (["--min-support", "1", "--group", "CD4+/CD8+"], ["LYZ"]),
    ],
)
def test_edges_of_little_support_are_left_out(annotated_path: Path, args: list[str], targets: list[str]) -> None:
    stdout, _ = run(annotated_path, *args)
    assert list(pd.read_csv(io.StringIO(stdout))["target"]) == targets


@pytest.mark.parametrize("lost", ["scdual_sd", "scdual_support"])
def test_that_half_of_the_evidence_is_lost_is_said(annotated_path: Path, tmp_path: Path, lost: str) -> None:
    with h5py.File(annotated_path, "a") as file:
        del file["varp"][lost]
    _, stderr = run(annotated_path, "-o", tmp_path / "edges.csv")
    assert f"Warning: {annotated_path} has lost part of the evidence" in stderr
    assert f"its varp lacks ['{lost}'] beside 'scdual_regulation'" in stderr


def test_support_that_is_not_in_the_file_is_an_error(annotated_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "edges.csv"
    _, stderr = run(annotated_path, "--group", "NK", "--min-support", 0.5, "-o", out, code=1)
    assert stderr == (
        f"Error: {annotated_path} has no support of these edges: its varp lacks ['scdual_sd_NK', 'scdual_support_NK'] "
        "beside 'scdual_regulation_NK'. Leave out --min-support, or write the results anew with `scdual fit` or "
        "`SCDual.annotate`.\n"
    )
    assert not out.exists()


def test_half_of_the_evidence_is_none(annotated_path: Path) -> None:
    adata = anndata.read_h5ad(annotated_path)
    del adata.varp["scdual_sd"]
    adata.write_h5ad(annotated_path)
    stdout, _ = run(annotated_path, "--top", 1)
    assert stdout.splitlines() == ["source,target,weight", "SPI1,LYZ,0.9"]
    _, stderr = run(annotated_path, "--min-support", 0.5, code=1)
    assert "its varp lacks ['scdual_sd'] beside 'scdual_regulation'" in stderr


def test_unknown_group_names_the_groups_there_are(annotated_path: Path) -> None:
    _, stderr = run(annotated_path, "--group", "B", code=1)
    assert "no network of the group 'B'; it has networks of ['CD4+/CD8+', 'NK']" in stderr
    assert stderr.count("\n") == 1


def test_a_file_with_networks_of_groups_alone_names_them(annotated_path: Path) -> None:
    adata = anndata.read_h5ad(annotated_path)
    del adata.varp["scdual_regulation"]
    adata.write_h5ad(annotated_path)
    _, stderr = run(annotated_path, code=1)
    assert (
        "no network of all cells; it has networks of the groups ['CD4+/CD8+', 'NK']. Name one in the --group" in stderr
    )
    assert stderr.count("\n") == 1
    run(annotated_path, "--group", "NK")


def test_file_without_network_points_to_fit(counts_path: Path) -> None:
    _, stderr = run(counts_path, code=1)
    assert "has no varp['scdual_regulation']; its varp has []" in stderr
    assert f"scdual fit {counts_path} -o OUT.h5ad" in stderr
    assert stderr.startswith("Error: ")
    assert stderr.count("\n") == 1


def test_missing_file_is_named(tmp_path: Path) -> None:
    _, stderr = run(tmp_path / "nope.h5ad", code=1)
    assert f"{tmp_path / 'nope.h5ad'} does not exist" in stderr


def test_missing_output_directory_is_named(annotated_path: Path, tmp_path: Path) -> None:
    _, stderr = run(annotated_path, "-o", tmp_path / "nope" / "edges.csv", code=1)
    assert f"The directory {tmp_path / 'nope'}" in stderr
    assert "mkdir" in stderr


@pytest.mark.parametrize("args", [["--top", "0"], ["--top", "many"], ["--unknown"], ["--min-support", "95"]])
def test_wrong_usage_exits_with_two(annotated_path: Path, args: list[str]) -> None:
    run(annotated_path, *args, code=2)


@pytest.mark.parametrize("name", ["net.graphml", "net.sif", "net.gmt", "net.h5ad", "net.tsv", "NET.SIF"])
def test_the_end_of_the_name_chooses_the_format(
    annotated_path: Path, network: RegulatoryNetwork, tmp_path: Path, name: str
) -> None:
    _, stderr = run(annotated_path, "-o", tmp_path / name, "--top", 3)
    assert stderr == f"3 edges written to {tmp_path / name}\n"
    expected = tmp_path / f"expected{Path(name).suffix.lower()}"
    write_network(network.top(3), expected, dataset_id="net")
    if name == "net.h5ad":
        found, table = (anndata.read_h5ad(each).uns for each in (tmp_path / name, expected))
        pd.testing.assert_frame_equal(found["prediction"], table["prediction"])
        assert found["dataset_id"] == "net"
    else:
        assert (tmp_path / name).read_text() == expected.read_text()


def test_symbols_stand_beside_ids_in_tables_and_in_their_place_elsewhere(annotated_path: Path, tmp_path: Path) -> None:
    adata = anndata.read_h5ad(annotated_path)
    adata.var["symbol"] = ["PU.1", "GATA-1", "LYZ", "HBB", "CD14"]
    adata.write_h5ad(annotated_path)
    stdout, _ = run(annotated_path, "--top", 1, "--gene-symbols", "symbol")
    assert stdout.splitlines()[1].startswith("SPI1,LYZ,PU.1,LYZ,")
    run(annotated_path, "--top", 1, "-o", tmp_path / "net.sif", "--gene-symbols", "symbol")
    assert (tmp_path / "net.sif").read_text() == "PU.1\tactivates\tLYZ\n"
    _, stderr = run(annotated_path, "--gene-symbols", "symbols", code=1)
    assert "`--gene-symbols symbols` is not a column of `var`" in stderr
