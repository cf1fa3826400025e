"""Conversions keep the direction, the sign and the names of every edge."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse import csc_matrix, csr_array, csr_matrix

from scdual.grn import EdgeEvidence, RegulatoryNetwork, from_attention_layout, from_frame, from_varp

REGULATORS = ["GATA1", "SPI1"]
TARGETS = ["HBB", "SPI1", "CD14", "GATA1"]
WEIGHT = np.array([[0.9, -0.5, 0.0, 0.0], [-0.5, 0.0, 0.7, -0.2]], dtype=np.float32)
GENES = list("abcdef")


@pytest.fixture
def network() -> RegulatoryNetwork:
    return RegulatoryNetwork(WEIGHT, REGULATORS, TARGETS)


@st.composite
def networks(draw: st.DrawFn) -> RegulatoryNetwork:
    """Draw a network of up to six genes; coarse weights give ties and zeros."""
    regulators = draw(st.lists(st.sampled_from(GENES), unique=True))
    targets = draw(st.permutations(GENES))
    weight = draw(hnp.arrays(np.int8, (len(regulators), len(targets)), elements=st.integers(-3, 3)))
    is_self = np.array(regulators)[:, None] == np.array(targets)[None, :]
    return RegulatoryNetwork(np.where(is_self, 0, weight) / 4, regulators, targets)


def assert_same(found: RegulatoryNetwork, expected: RegulatoryNetwork) -> None:
    np.testing.assert_array_equal(found.weight, expected.weight)
    assert list(found.regulators) == list(expected.regulators)
    assert list(found.targets) == list(expected.targets)


def test_table_lists_edges_by_strength_then_name(network: RegulatoryNetwork) -> None:
    expected = pd.DataFrame(
        {
            "source": ["GATA1", "SPI1", "GATA1", "SPI1", "SPI1"],
            "target": ["HBB", "CD14", "SPI1", "HBB", "GATA1"],
            "weight": np.array([0.9, 0.7, -0.5, -0.5, -0.2], dtype=np.float32),
        }
    )
    pd.testing.assert_frame_equal(network.to_frame(), expected)


@given(networks(), st.integers(0, 40), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=50)
def test_table_does_not_depend_on_gene_order(network: RegulatoryNetwork, top: int, random: object) -> None:
    frame = network.to_frame()
    regulators, targets = list(network.regulators), list(network.targets)
    random.shuffle(regulators)
    random.shuffle(targets)
    shuffled = network.subset(regulators, targets)
    pd.testing.assert_frame_equal(shuffled.to_frame(), frame)
    pd.testing.assert_frame_equal(shuffled.to_frame(top=top), frame.head(top))
    assert shuffled.top(top).to_frame().equals(frame.head(top))


@given(networks())
@settings(deadline=None, max_examples=50)
def test_round_trips_return_the_same_network(network: RegulatoryNetwork) -> None:
    regulators, targets = network.regulators, network.targets
    assert_same(from_frame(network.to_frame(), targets, regulators=regulators), network)
    assert_same(from_attention_layout(network.weight.T, regulators, targets), network)
    has_edges = [name for name in targets if name in set(network.to_frame()["source"])]
    assert_same(from_varp(network.to_varp(), targets), network.subset(has_edges))


def test_varp_has_regulators_in_rows_and_targets_in_columns(network: RegulatoryNetwork) -> None:
    var_names = ["CD14", "extra", "GATA1", "HBB", "SPI1"]
    varp = network.to_varp(var_names)
    expected = np.zeros((5, 5), dtype=np.float32)
    for r, source in enumerate(REGULATORS):
        for t, target in enumerate(TARGETS):
            expected[var_names.index(source), var_names.index(target)] = WEIGHT[r, t]
    np.testing.assert_array_equal(varp.toarray(), expected)
    assert isinstance(varp, csr_matrix)
    assert varp.dtype == np.float32
    assert varp.nnz == network.n_edges
    assert varp.has_canonical_format


def test_varp_defaults_to_the_targets(network: RegulatoryNetwork) -> None:
    np.testing.assert_array_equal(network.to_varp().toarray(), network.to_varp(TARGETS).toarray())


@pytest.mark.parametrize(
    ("var_names", "message"),
    [
        pytest.param(["GATA1", "HBB", "CD14"], r"1 of 2 regulators .*\['SPI1'\]", id="regulator missing"),
        pytest.param(["GATA1", "SPI1"], r"2 of 4 targets .*\['HBB', 'CD14'\]", id="targets missing"),
        pytest.param([*TARGETS, "HBB"], r"more than once in `var_names`: \['HBB'\]", id="repeated"),
    ],
)
def test_varp_lists_names_that_do_not_fit(network: RegulatoryNetwork, var_names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        network.to_varp(var_names)


def test_messages_shorten_long_lists_of_names() -> None:
    targets = [f"g{i}" for i in range(30)]
    with pytest.raises(ValueError, match="'g11'] and 18 more; "):
        RegulatoryNetwork(np.zeros((0, 30)), [], targets).to_varp(["x"])


def test_from_frame_sorts_the_names_of_the_table(network: RegulatoryNetwork) -> None:
    frame = network.to_frame().sample(frac=1, random_state=0).assign(extra="x")
    assert_same(from_frame(frame), network.subset(targets=sorted(TARGETS)))


def test_from_frame_reads_categories_and_leaves_the_table_alone(network: RegulatoryNetwork) -> None:
    frame = network.to_frame().astype({"source": "category", "target": "category"})
    before = frame.copy()
    assert_same(from_frame(frame, TARGETS, regulators=REGULATORS), network)
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize(
    ("rows", "arguments", "message"),
    [
        pytest.param(
            [("A", "b", 1), ("A", "b", 2)],
            {},
            r"1 of 2 .* pair that is repeated, e.g. \['A -> b'\]",
            id="repeated pair",
        ),
        pytest.param([("A", "A", 1)], {}, r"regulate themselves: \['A'\]", id="self edge"),
        pytest.param([("A", "b", np.nan)], {}, r"1 of 1 edges .* no weight, e.g. \['A -> b'\]", id="missing weight"),
        pytest.param([("A", None, 1)], {}, "1 of 1 edges .* lack a source or target name", id="missing name"),
        pytest.param([("A", "b", 1)], {"targets": ["c"]}, r"are not in `targets`: \['b'\]", id="unknown target"),
        pytest.param([("A", "b", 1)], {"regulators": ["B"]}, r"not in `regulators`: \['A'\]", id="unknown regulator"),
    ],
)
def test_from_frame_rejects_bad_tables(rows: list, arguments: dict, message: str) -> None:
    frame = pd.DataFrame(rows, columns=["source", "target", "weight"])
    with pytest.raises(ValueError, match=message):
        from_frame(frame, **arguments)


def test_from_frame_names_the_missing_columns() -> None:
    with pytest.raises(ValueError, match=r"columns \['factor', 'target'\].*\['source'\] missing"):
        from_frame(pd.DataFrame(columns=["factor", "target"]))


def test_from_frame_reads_signs_without_weights_and_files(network: RegulatoryNetwork, tmp_path: Path) -> None:
    frame = network.to_frame()
    split = frame.assign(sign=np.sign(frame["weight"]), weight=frame["weight"].abs())
    assert_same(from_frame(split, TARGETS, regulators=REGULATORS), network)
    signs = from_frame(split[["source", "target", "sign"]], TARGETS, regulators=REGULATORS)
    np.testing.assert_array_equal(signs.weight, np.sign(WEIGHT))
    frame.to_csv(tmp_path / "edges.csv", index=False)
    assert_same(from_frame(tmp_path / "edges.csv", TARGETS, regulators=REGULATORS), network)


@pytest.mark.parametrize(
    "names", [("sd", "support"), ("sd", "support", "q_value", "n_cells"), ("sd", "support", "n_cells")]
)
def test_a_written_table_keeps_its_evidence(network: RegulatoryNetwork, names: tuple[str, ...], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    matrices = {name: rng.random(WEIGHT.shape) for name in names}
    if "n_cells" in names:
        matrices["n_cells"] = rng.integers(1, 90, WEIGHT.shape)
    sure = RegulatoryNetwork(WEIGHT, REGULATORS, TARGETS, evidence=EdgeEvidence(**matrices))
    sure.to_frame().to_csv(tmp_path / "edges.csv", index=False)
    for table in (sure.to_frame(), sure.to_frame().rename(columns=str.upper), tmp_path / "edges.csv"):
        found = from_frame(table, TARGETS, regulators=REGULATORS)
        pd.testing.assert_frame_equal(found.to_frame(), sure.to_frame())
    assert tuple(found.evidence.columns()) == names
    without = {"sd": np.nan, "support": 0, "q_value": 1, "n_cells": 0}
    for name, values in found.evidence.columns().items():
        np.testing.assert_array_equal(values[WEIGHT == 0], without[name])


def test_half_of_the_evidence_is_none(network: RegulatoryNetwork) -> None:
    table = network.to_frame().assign(support="5 papers", q_value=0.1, n_cells=3)  # no `sd`: another tool's columns
    assert from_frame(table).evidence is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"support": [0.9, np.nan, 1, 1, 1]}, r"1 of 5 edges .* `support` than it can have, e.g. \['SPI1 -> CD14'\]"),
        ({"support": 95}, "5 of 5 edges .* `support` than it can have.*numbers between 0 and 1"),
        ({"sd": -1}, "`sd` than it can have.*numbers between 0 and inf"),
        ({"n_cells": 2.5}, "`n_cells` than it can have.*whole numbers of at least 0"),
        ({"q_value": "low"}, "no number in the column `q_value`"),
    ],
    ids=str,
)
def test_evidence_in_a_table_must_be_whole_and_in_range(
    network: RegulatoryNetwork, change: dict[str, object], message: str
) -> None:
    table = network.to_frame().assign(**{"sd": 0.1, "support": 0.9} | change)
    with pytest.raises(ValueError, match=message):
        from_frame(table)


def test_from_frame_needs_signs() -> None:
    edges = {"TF": ["GATA1"], "target": ["HBB"], "importance": [3.0]}
    with pytest.raises(ValueError, match="1 of 1 edges of the table have an unknown sign.*column 'weight'"):
        from_frame(edges)


@pytest.mark.parametrize(
    ("matrix", "error", "message"),
    [
        (None, ValueError, r"shape \(\)"),
        (np.array([["a"]]), TypeError, "type <U1"),
        (np.ones((1, 1)) * 1j, TypeError, "complex"),
    ],
    ids=["None", "text", "complex"],
)
def test_from_varp_rejects_what_is_no_matrix(matrix: object, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        from_varp(matrix, ["A"])


@pytest.mark.parametrize("kind", [csr_matrix, csc_matrix, csr_array, np.asarray])
def test_from_varp_reads_any_matrix(network: RegulatoryNetwork, kind: type) -> None:
    found = from_varp(kind(network.to_varp().toarray()), TARGETS, group="B")
    assert_same(found, network.subset(["SPI1", "GATA1"]))
    assert found.group == "B"


def test_from_varp_ignores_stored_zeros_and_leaves_the_matrix_alone() -> None:
    matrix = csr_matrix((np.array([0.5, 0.0]), (np.array([0, 1]), np.array([1, 2]))), shape=(3, 3))
    network = from_varp(matrix, ["A", "b", "c"])
    assert list(network.regulators) == ["A"]
    assert matrix.nnz == 2


@pytest.fixture
def sure() -> RegulatoryNetwork:
    """Return a network with evidence, of which some is 0."""
    sd = np.array([[0.25, 0, np.nan, np.nan], [0.5, np.nan, 0.75, 1]], dtype=np.float32)
    support = np.array([[1, 0.5, 0, 0], [0, 0, 0.75, 0.25]], dtype=np.float32)
    n_cells = np.array([[9, 8, 7, 6], [5, 4, 3, 2]])
    return RegulatoryNetwork(WEIGHT, REGULATORS, TARGETS, evidence=EdgeEvidence(sd, support, n_cells=n_cells))


def test_varp_of_evidence_has_a_value_for_each_edge_alone(sure: RegulatoryNetwork) -> None:
    names = ["CD14", "extra", "GATA1", "HBB", "SPI1"]
    weight = sure.to_varp(names)
    for values, dtype in (("sd", np.float32), ("support", np.float32), ("n_cells", np.int64)):
        found = sure.to_varp(names, values)
        np.testing.assert_array_equal(found.indices, weight.indices)  # zeros stay where there is an edge
        np.testing.assert_array_equal(found.indptr, weight.indptr)
        assert found.dtype == dtype
        frame = pd.DataFrame(found.toarray(), names, names)
        for edge in sure.to_frame().itertuples():
            assert frame.loc[edge.source, edge.target] == getattr(edge, values)


def test_varp_of_evidence_that_is_not_known_is_an_error(network: RegulatoryNetwork, sure: RegulatoryNetwork) -> None:
    with pytest.raises(ValueError, match=r"`values` is 'support', expected one of \['weight'\]"):
        network.to_varp(values="support")
    with pytest.raises(
        ValueError, match=r"`values` is 'q_value', expected one of \['weight', 'sd', 'support', 'n_cells'\]"
    ):
        sure.to_varp(values="q_value")


@pytest.mark.parametrize("kind", [csr_matrix, csc_matrix, csr_array, lambda matrix: matrix.toarray()])
def test_from_varp_reads_evidence_back(sure: RegulatoryNetwork, kind: Callable) -> None:
    matrices = {name: kind(sure.to_varp(values=name)) for name in ("sd", "support")}
    found = from_varp(kind(sure.to_varp()), TARGETS, **matrices)
    pd.testing.assert_frame_equal(found.to_frame(), sure.to_frame().drop(columns="n_cells"))
    assert found.evidence.sd.dtype == np.float32


def test_from_varp_needs_the_evidence_of_every_edge(sure: RegulatoryNetwork) -> None:
    matrices = {name: sure.top(4).to_varp(values=name) for name in ("sd", "support")}
    with pytest.raises(ValueError, match="1 edges have a `sd` that is not between 0 and inf, e.g. nan"):
        from_varp(sure.to_varp(), TARGETS, **matrices)
    found = from_varp(sure.top(2).to_varp(), TARGETS, **matrices)  # more evidence than edges
    pd.testing.assert_frame_equal(found.to_frame(), sure.to_frame(2).drop(columns="n_cells"))


@pytest.mark.parametrize(
    ("matrices", "error", "message"),
    [
        ({"sd": np.zeros((4, 4))}, ValueError, r"Only \['sd'\] of the evidence is given, expected both"),
        ({"support": np.zeros((4, 4))}, ValueError, r"Only \['support'\] of the evidence is given"),
        ({"sd": np.zeros((4, 4)), "support": np.zeros((2, 4))}, ValueError, r"`support` has shape \(2, 4\), expected \(4, 4\)"),
        ({"sd": np.full((4, 4), "a"), "support": np.zeros((4, 4))}, TypeError, "`sd` is of type <U1"),
        ({"sd": np.zeros((4, 4)), "support": np.full((4, 4), 95)}, ValueError, "5 edges have a `support` that is not between 0"),
    ],
)  # fmt: skip
def test_from_varp_says_what_is_wrong_with_evidence(
    network: RegulatoryNetwork, matrices: dict, error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        from_varp(network.to_varp(), TARGETS, **matrices)


def test_from_varp_rejects_other_genes(network: RegulatoryNetwork) -> None:
    with pytest.raises(ValueError, match=r"shape \(4, 4\), expected \(2, 2\)"):
        from_varp(network.to_varp(), ["A", "b"])


def test_attention_layout_is_transposed(network: RegulatoryNetwork) -> None:
    weight_tr = np.array([[WEIGHT[r, t] for r in range(2)] for t in range(4)])
    found = from_attention_layout(weight_tr, REGULATORS, TARGETS, group="B")
    assert_same(found, network)
    assert found.group == "B"


def test_attention_layout_rejects_regulators_in_rows() -> None:
    with pytest.raises(ValueError, match=r"`weight_tr` has shape \(2, 4\), expected \(4, 2\)"):
        from_attention_layout(WEIGHT, REGULATORS, TARGETS)


def test_networkx_reads_the_table_as_it_is(network: RegulatoryNetwork) -> None:
    nx = pytest.importorskip("networkx")
    graph = nx.from_pandas_edgelist(network.to_frame(), "source", "target", "weight", create_using=nx.DiGraph)
    found = nx.to_pandas_adjacency(graph, nodelist=TARGETS, dtype=np.float32)
    np.testing.assert_array_equal(found, network.to_varp().toarray())


def test_edges_of_networkx_carry_the_evidence(sure: RegulatoryNetwork) -> None:
    nx = pytest.importorskip("networkx")
    graph = nx.from_pandas_edgelist(sure.to_frame(), edge_attr=True, create_using=nx.DiGraph)
    assert graph.edges["SPI1", "CD14"] == {"weight": np.float32(0.7), "sd": 0.75, "support": 0.75, "n_cells": 3}
    assert graph.number_of_edges() == 5


def test_decoupler_reads_the_table_as_it_is(network: RegulatoryNetwork) -> None:
    dc = pytest.importorskip("decoupler")
    features = np.array(["GATA1", "other", "CD14", "SPI1", "HBB"])
    edges = dc.pp.prune(features, network.to_frame(), tmin=1)
    sources, names, matrix = dc.pp.adjmat(features, edges)  # targets by sources
    found = pd.DataFrame(matrix, names, sources).drop(index="other")
    np.testing.assert_array_equal(found.loc[TARGETS, REGULATORS].T, WEIGHT)
