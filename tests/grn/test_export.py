"""Files for other programs, read back by other programs."""

from pathlib import Path

import anndata
import networkx as nx
import numpy as np
import pandas as pd
import pytest

from scdual.grn import EdgeEvidence, RegulatoryNetwork, from_frame, write_network

GENES = pd.Index(["SPI1", "GATA1", "LYZ", "HLA DR", "=cmd"])


@pytest.fixture
def network() -> RegulatoryNetwork:
    weight = np.array([[0, -0.4, 0.9, 0.3, 0], [-0.5, 0, -0.2, 0, 0.1]], dtype=np.float32)
    sd = np.full(weight.shape, 0.25, dtype=np.float32)
    return RegulatoryNetwork(weight, GENES[:2], GENES, evidence=EdgeEvidence(sd, (weight != 0) * 0.75))


def edges_of(graph: nx.DiGraph) -> dict[tuple[str, str], float]:
    return {(source, target): values["weight"] for source, target, values in graph.edges(data=True)}


def test_graphml_is_what_networkx_reads(network: RegulatoryNetwork, tmp_path: Path) -> None:
    write_network(network, tmp_path / "net.graphml")
    graph = nx.read_graphml(tmp_path / "net.graphml")
    frame = network.to_frame()
    expected = dict(zip(zip(frame["source"], frame["target"], strict=True), frame["weight"], strict=True))
    assert graph.is_directed()
    assert edges_of(graph) == pytest.approx(expected)
    assert graph.edges["SPI1", "LYZ"] == pytest.approx(
        {"weight": np.float32(0.9), "sd": 0.25, "support": 0.75, "interaction": "activates", "mutual": False}
    )
    assert graph.edges["GATA1", "LYZ"]["interaction"] == "represses"
    assert {gene for gene, is_one in graph.nodes(data="is_regulator") if is_one} == {"SPI1", "GATA1"}


def test_edges_back_and_forth_are_marked(network: RegulatoryNetwork, tmp_path: Path) -> None:
    write_network(network, tmp_path / "net.graphml")
    graph = nx.read_graphml(tmp_path / "net.graphml")
    mutual = {(source, target) for source, target, is_one in graph.edges(data="mutual") if is_one}
    assert mutual == {("SPI1", "GATA1"), ("GATA1", "SPI1")}


def test_sif_has_one_line_per_association(network: RegulatoryNetwork, tmp_path: Path) -> None:
    write_network(network, tmp_path / "net.sif")
    lines = [line.split("\t") for line in (tmp_path / "net.sif").read_text().splitlines()]
    assert lines == [
        ["SPI1", "activates", "LYZ"],
        ["GATA1", "goes_against", "SPI1"],
        ["SPI1", "activates", "HLA DR"],
        ["GATA1", "represses", "LYZ"],
        ["GATA1", "activates", "=cmd"],
    ]


def test_gmt_has_a_set_per_regulator_and_sign(network: RegulatoryNetwork, tmp_path: Path) -> None:
    write_network(network, tmp_path / "net.gmt")
    sets = {}
    for line in (tmp_path / "net.gmt").read_text().splitlines():
        name, _, *genes = line.split("\t")
        sets[name] = genes
    assert sets == {
        "SPI1(+)": ["LYZ", "HLA DR"],
        "GATA1(-)": ["SPI1", "LYZ"],
        "SPI1(-)": ["GATA1"],
        "GATA1(+)": ["=cmd"],
    }


def test_decoupler_reads_the_sets_as_they_are(tmp_path: Path) -> None:
    decoupler = pytest.importorskip("decoupler")
    edges = pd.DataFrame(
        {"source": ["SPI1", "SPI1", "GATA1"], "target": ["LYZ", "CD3E", "LYZ"], "weight": [2, -1, 1.0]}
    )
    write_network(from_frame(edges), tmp_path / "net.gmt")
    read = decoupler.pp.read_gmt(tmp_path / "net.gmt")
    assert set(read.itertuples(index=False, name=None)) == {
        ("SPI1(+)", "LYZ"),
        ("SPI1(-)", "CD3E"),
        ("GATA1(+)", "LYZ"),
    }


def test_generrnib_finds_its_table(network: RegulatoryNetwork, tmp_path: Path) -> None:
    write_network(network, tmp_path / "net.h5ad", dataset_id="op")
    adata = anndata.read_h5ad(tmp_path / "net.h5ad")
    table = adata.uns["prediction"]
    assert (adata.uns["dataset_id"], adata.uns["method_id"]) == ("op", "scdual")
    assert list(table.columns) == ["source", "target", "weight"]
    assert all(isinstance(weight, str) for weight in table["weight"])
    expected = network.to_frame()
    np.testing.assert_allclose(table["weight"].astype(float), expected["weight"], rtol=1e-6)
    assert table["source"].tolist() == expected["source"].tolist()


def test_decoupler_reads_its_table(network: RegulatoryNetwork, tmp_path: Path) -> None:
    write_network(network, tmp_path / "net.csv", format="decoupler")
    assert pd.read_csv(tmp_path / "net.csv").columns.tolist() == ["source", "target", "weight"]


@pytest.mark.parametrize("name", ["net.csv", "net.tsv", "NET.TSV"])
def test_tables_come_back_with_their_evidence(network: RegulatoryNetwork, tmp_path: Path, name: str) -> None:
    write_network(network, tmp_path / name)
    found = from_frame(tmp_path / name, GENES, regulators=GENES[:2])
    np.testing.assert_array_equal(found.weight, network.weight)
    assert found.evidence is not None
    assert network.evidence is not None
    is_edge = network.weight != 0
    np.testing.assert_array_equal(found.evidence.support[is_edge], network.evidence.support[is_edge])


def test_an_old_file_stays_when_the_new_one_fails(network: RegulatoryNetwork, tmp_path: Path) -> None:
    path = tmp_path / "net.sif"
    path.write_text("old")
    broken = network.with_symbols({"LYZ": "LY\tZ"})
    with pytest.raises(ValueError, match="control characters"):
        write_network(broken, path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("net.xlsx", {}, r"ends with '\.xlsx', expected one of \['\.csv'"),
        ("net", {}, "ends with 'no suffix', expected one of"),
        ("net.csv", {"format": "gml"}, "`format` is 'gml', expected one of"),
    ],
)
def test_an_unknown_format_is_an_error(
    network: RegulatoryNetwork, tmp_path: Path, name: str, options: dict, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        write_network(network, tmp_path / name, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_network_without_edges_is_an_error(network: RegulatoryNetwork, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no edge to write"):
        write_network(network.top(0), tmp_path / "net.csv")


SYMBOLS = {"SPI1": "PU.1", "LYZ": "lysozyme"}


@pytest.mark.parametrize("name", ["net.graphml", "net.sif", "net.gmt", "net.h5ad"])
def test_symbols_stand_in_place_of_ids(network: RegulatoryNetwork, tmp_path: Path, name: str) -> None:
    write_network(network, tmp_path / name, gene_symbols=SYMBOLS)
    write_network(network.with_symbols(SYMBOLS), tmp_path / f"other_{name}")
    if name.endswith(".h5ad"):
        one, two = (anndata.read_h5ad(tmp_path / each).uns["prediction"] for each in (name, f"other_{name}"))
        pd.testing.assert_frame_equal(one, two)
        assert "PU.1" in set(one["source"])
        return
    text = (tmp_path / name).read_text()
    assert text == (tmp_path / f"other_{name}").read_text()
    assert "PU.1" in text
    assert "SPI1" not in text


def test_tables_have_symbols_beside_the_ids(network: RegulatoryNetwork, tmp_path: Path) -> None:
    write_network(network, tmp_path / "net.csv", gene_symbols=SYMBOLS)
    table = pd.read_csv(tmp_path / "net.csv")
    assert dict(zip(table["source"], table["source_symbol"], strict=True)) == {"SPI1": "PU.1", "GATA1": "GATA1"}
