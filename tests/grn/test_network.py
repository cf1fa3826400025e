"""A network checks itself at birth, never changes, and finds its edges by name."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from scdual.grn import EdgeEvidence, RegulatoryNetwork

REGULATORS = ["GATA1", "SPI1"]
TARGETS = ["HBB", "SPI1", "CD14", "GATA1"]
WEIGHT = np.array([[0.9, -0.5, 0.0, 0.0], [-0.5, 0.0, 0.7, -0.2]])


@pytest.fixture
def network() -> RegulatoryNetwork:
    return RegulatoryNetwork(WEIGHT, pd.Index(REGULATORS), pd.Index(TARGETS), group="Mono")


def edges(network: RegulatoryNetwork) -> list[tuple[str, str, float]]:
    """Loop over all pairs, strongest first, ties by names."""
    found = [
        (source, target, float(network.weight[r, t]))
        for r, source in enumerate(network.regulators)
        for t, target in enumerate(network.targets)
        if network.weight[r, t] != 0
    ]
    return sorted(found, key=lambda edge: (-abs(edge[2]), edge[0], edge[1]))


def test_keeps_float32_weights_and_names(network: RegulatoryNetwork) -> None:
    assert network.weight.dtype == np.float32
    np.testing.assert_array_equal(network.weight, WEIGHT.astype(np.float32))
    assert list(network.regulators) == REGULATORS
    assert list(network.targets) == TARGETS
    assert network.n_edges == 5


def test_does_not_share_memory_with_the_caller() -> None:
    weight = WEIGHT.astype(np.float32)
    names = np.array(TARGETS, dtype=object)
    network = RegulatoryNetwork(weight, REGULATORS, names)
    weight[:] = 7
    names[:] = "x"
    np.testing.assert_array_equal(network.weight, WEIGHT.astype(np.float32))
    assert list(network.targets) == TARGETS
    assert weight.flags.writeable


def test_is_read_only(network: RegulatoryNetwork) -> None:
    with pytest.raises(ValueError, match="read-only"):
        network.weight[0, 0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        network.group = "B"


@pytest.mark.parametrize(
    ("weight", "regulators", "targets", "message"),
    [
        pytest.param(WEIGHT.T, REGULATORS, TARGETS, r"shape \(4, 2\), expected \(2, 4\)", id="transposed"),
        pytest.param(WEIGHT[0], REGULATORS, TARGETS, r"shape \(4,\)", id="one-dimensional"),
        pytest.param(WEIGHT * np.nan, REGULATORS, TARGETS, "8 of 8 weights are not finite", id="nan"),
        pytest.param(WEIGHT * 1e300, REGULATORS, TARGETS, "not finite in float32", id="overflow"),
        pytest.param(WEIGHT, ["A", "A"], TARGETS, r"more than once in `regulators`: \['A'\]", id="repeated regulator"),
        pytest.param(WEIGHT, REGULATORS, list("xyzx"), r"more than once in `targets`: \['x'\]", id="repeated target"),
        pytest.param(WEIGHT, ["A", None], TARGETS, "1 of 2 `regulators` have no name", id="missing name"),
        pytest.param(WEIGHT, ["HBB", "CD14"], TARGETS, r"2 genes .* \['HBB', 'CD14'\]", id="self edges"),
    ],
)
def test_rejects_what_is_not_a_network(weight: np.ndarray, regulators: list, targets: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RegulatoryNetwork(weight, regulators, targets)


def test_repr_is_short(network: RegulatoryNetwork) -> None:
    expected = "RegulatoryNetwork(2 regulators x 4 targets, 5 edges (40% activating), group='Mono')"
    assert repr(network) == expected


def test_repr_without_edges() -> None:
    network = RegulatoryNetwork(np.zeros((0, 1)), [], ["HBB"])
    assert repr(network) == "RegulatoryNetwork(0 regulators x 1 targets, 0 edges)"


def test_subset_follows_the_requested_order(network: RegulatoryNetwork) -> None:
    part = network.subset(["SPI1", "GATA1"], ["CD14", "HBB"])
    np.testing.assert_array_equal(part.weight, WEIGHT[np.ix_([1, 0], [2, 0])].astype(np.float32))
    assert list(part.regulators) == ["SPI1", "GATA1"]
    assert list(part.targets) == ["CD14", "HBB"]
    assert part.group == "Mono"


def test_subset_of_everything_is_the_same_network(network: RegulatoryNetwork) -> None:
    assert edges(network.subset()) == edges(network)


@pytest.mark.parametrize("axis", ["regulators", "targets"])
def test_subset_lists_unknown_names(network: RegulatoryNetwork, axis: str) -> None:
    with pytest.raises(ValueError, match=rf"1 of 2 {axis} are not in .*\['Spi1'\]"):
        network.subset(**{axis: ["SPI1", "Spi1"]})


@pytest.mark.parametrize("sign", [None, 1, -1])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 100])
def test_top_keeps_the_strongest_edges(network: RegulatoryNetwork, n: int, sign: int | None) -> None:
    expected = [edge for edge in edges(network) if sign is None or edge[2] * sign > 0][:n]
    assert edges(network.top(n, sign=sign)) == expected
    assert network.n_edges == 5


def test_top_breaks_ties_by_name_not_by_position() -> None:
    names = ["c", "a", "b"]
    network = RegulatoryNetwork(np.ones((1, 3)), ["R"], names)
    assert edges(network.top(2)) == [("R", "a", 1.0), ("R", "b", 1.0)]


@pytest.mark.parametrize("top", ["5", 2.5, True], ids=str)
def test_numbers_of_edges_must_be_whole(network: RegulatoryNetwork, top: object) -> None:
    with pytest.raises(TypeError, match="`n` is .*, expected a whole number"):
        network.top(top)
    with pytest.raises(TypeError, match="`top` is .*, expected a whole number"):
        network.to_frame(top)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": csr_matrix(WEIGHT)}, "`weight` of type csr_matrix makes no array.*`toarray"),
        ({"weight": "text"}, "`weight` of type str makes no array"),
        ({"regulators": "GATA1"}, "`regulators` is 'GATA1' of type str, expected names"),
        ({"targets": 4}, "`targets` is 4 of type int, expected names"),
        ({"group": 1}, "`group` is 1 of type int, expected str or None"),
        ({"evidence": {}}, "`evidence` is .* of type dict, expected EdgeEvidence or None"),
    ],
    ids=str,
)
def test_arguments_of_another_type_are_an_error(arguments: dict, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        RegulatoryNetwork(**{"weight": WEIGHT, "regulators": REGULATORS, "targets": TARGETS} | arguments)


@pytest.mark.parametrize(
    "names", [TARGETS, np.array(TARGETS), pd.Index(TARGETS, dtype=object), pd.Categorical(TARGETS)]
)
def test_names_leave_as_pandas_own_text(names: object) -> None:
    text = pd.Series(["a"]).dtype  # `str` from pandas 3 on, `object` before
    network = RegulatoryNetwork(WEIGHT, REGULATORS, names)
    assert network.regulators.dtype == network.targets.dtype == text
    for frame in (network.to_frame(), network.to_frame(0)):
        assert frame["source"].dtype == frame["target"].dtype == text


def test_numbers_as_names_become_text() -> None:
    network = RegulatoryNetwork(np.ones((1, 2)), [1], [2, 3])
    assert network.to_frame().to_numpy().tolist() == [["1", "2", 1.0], ["1", "3", 1.0]]


def test_top_rejects_bad_arguments(network: RegulatoryNetwork) -> None:
    with pytest.raises(ValueError, match="`sign` is 0, expected one of"):
        network.top(1, sign=0)
    with pytest.raises(ValueError, match="`n` is -1, expected a whole number of at least 0"):
        network.top(-1)


def test_what_is_made_of_a_network_shares_what_stays_the_same(network: RegulatoryNetwork) -> None:
    """Of 20,000 genes and 1,600 regulators every copy of a matrix takes 128 MB."""
    sd, support = np.ones((2, 4)), np.full((2, 4), 0.9)
    sure = dataclasses.replace(network, evidence=EdgeEvidence(sd, support))
    assert sure.weight is network.weight
    for made in (sure.top(2), sure.supported(0.5), dataclasses.replace(sure, group="B")):
        assert made.evidence.sd is sure.evidence.sd
        assert made.evidence.support is sure.evidence.support
    assert not np.shares_memory(sure.evidence.sd, sd)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])  # of which many are equally strong
def test_the_strongest_of_many_are_those_of_sorting_all(dtype: type) -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(6, 40)).astype(dtype).round(1)
    many = RegulatoryNetwork(weight, list("FBCDAE"), [f"t{i}" for i in rng.permutation(40)])
    for n in (0, 1, 17, 100, many.n_edges - 1, many.n_edges, 300):
        assert [tuple(edge) for edge in many.to_frame(n).itertuples(index=False)] == edges(many)[:n]
