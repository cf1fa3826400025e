"""Evidence equals its definition, and the false discovery rate holds where the truth is known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control, norm

from scdual.grn import EdgeEvidence, RegulatoryNetwork, edge_evidence, false_discovery_rate, q_values


def loop_rate(strength: np.ndarray, null_strength: np.ndarray) -> np.ndarray:
    rates = []
    for s in strength:
        weaker = [t for t in strength if t <= s]
        rate = [min(1.0, (1 + (null_strength >= t).sum()) / (strength >= t).sum()) for t in weaker]
        rates.append(1.0 if s == 0 else min(rate))
    return np.array(rates)


@pytest.mark.parametrize("digits", [8, 1])  # 1: many ties
def test_false_discovery_rate_equals_a_loop(digits: int) -> None:
    rng = np.random.default_rng(0)
    strength = np.abs(np.r_[rng.normal(size=40), rng.normal(3, 1, size=20), np.zeros(5)]).round(digits)
    null = np.abs(rng.normal(size=65)).round(digits)
    np.testing.assert_allclose(false_discovery_rate(strength, null), loop_rate(strength, null))
    grid = false_discovery_rate(strength.reshape(5, 13), null)
    np.testing.assert_array_equal(grid, false_discovery_rate(strength, null).reshape(5, 13))


@pytest.mark.parametrize("digits", [8, 1])  # 1: many ties
def test_q_values_are_those_of_benjamini_and_hochberg(digits: int) -> None:
    rng = np.random.default_rng(0)
    z = np.concatenate([rng.normal(size=400), rng.normal(6, 9, size=60), np.zeros(40)]).round(digits).reshape(20, 25)
    expected = np.ones(z.shape)
    expected[z != 0] = false_discovery_control(2 * norm.sf(np.abs(z[z != 0])))
    np.testing.assert_allclose(q_values(z), expected, rtol=1e-12)
    is_edge = rng.random(z.shape) < 0.5
    np.testing.assert_allclose(q_values(z, is_edge), np.where(is_edge, expected, 1), rtol=1e-12)
    np.testing.assert_allclose(q_values(z.astype(np.float32)), expected, rtol=1e-4)
    assert (q_values(np.zeros((2, 3))) == 1).all()


@pytest.mark.parametrize("values", ["x", None, {}, ["a"]])
def test_what_is_no_number_has_no_rate(values: object) -> None:
    number = np.ones(1)
    with pytest.raises(TypeError, match="`z` is .*, expected an array of numbers"):
        q_values(values)
    for name in ("strength", "null_strength"):
        with pytest.raises(TypeError, match=f"`{name}` is .*, expected an array of numbers"):
            false_discovery_rate(**({"strength": number, "null_strength": number} | {name: values}))


def test_pairs_are_chosen_by_a_mask_of_their_shape() -> None:
    z = np.array([[3.0, 0.1]])
    with pytest.raises(ValueError, match=r"`is_edge` has shape \(\), expected \(1, 2\)"):
        q_values(z, 0)
    with pytest.raises(TypeError, match="`is_edge` holds values of type int64, expected True or False"):
        q_values(z, np.array([[0, 1]]))
    np.testing.assert_array_equal(q_values(z, [[True, False]]), q_values(z, np.array([[True, False]])))


def test_the_stated_share_of_false_edges_holds() -> None:
    rng = np.random.default_rng(0)
    shares, numbers = [], []
    for _ in range(50):
        is_true = np.arange(2000) < 300
        strength = np.abs(rng.normal(is_true * 3.5, 1.0))
        called = false_discovery_rate(strength, np.abs(rng.normal(size=2000))) <= 0.1
        shares.append((called & ~is_true).sum() / max(1, called.sum()))
        numbers.append(called.sum())
    assert 0.04 < np.mean(shares) < 0.12  # 0.085 are expected: of 2000 pairs 1700 are false
    assert np.mean(numbers) > 150


def test_nothing_is_called_among_null_edges() -> None:
    rng = np.random.default_rng(0)
    n_called = [(false_discovery_rate(*np.abs(rng.normal(size=(2, 1000)))) <= 0.05).sum() for _ in range(50)]
    assert np.mean(np.array(n_called) > 0) < 0.2


def test_the_numbers_of_pairs_must_agree() -> None:
    with pytest.raises(ValueError, match="3 strengths and 2 of the null"):
        false_discovery_rate(np.ones(3), np.ones(2))


def test_spread_and_support_over_the_members() -> None:
    weight = np.array([[0.0, 2.0], [-1.0, 0.0]])
    members = np.array([[[0.0, 1.0], [-2.0, 0.0]], [[0.0, 3.0], [1.0, 0.5]], [[0.0, -1.0], [-1.0, 0.1]]])
    evidence = edge_evidence(weight, members, np.zeros((2, 2)))
    np.testing.assert_allclose(evidence.sd[0, 1], np.std([1, 3, -1], ddof=1))
    np.testing.assert_allclose(evidence.support, [[0, 2 / 3], [2 / 3, 0]])
    np.testing.assert_allclose(evidence.q_value, [[1, 0.5], [0.5, 1]])


@pytest.fixture
def network() -> RegulatoryNetwork:
    weight = np.array([[0.0, 2.0, -0.3], [-1.0, 0.0, 0.0]])
    evidence = EdgeEvidence(np.arange(6.0).reshape(2, 3), np.ones((2, 3)), np.array([[1, 0.01, 0.2], [0.04, 1, 1]]))
    return RegulatoryNetwork(weight, pd.Index(["A", "B"]), pd.Index(["A", "B", "C"]), evidence=evidence)


def test_tables_and_parts_of_a_network_carry_its_evidence(network: RegulatoryNetwork) -> None:
    frame = network.to_frame()
    assert list(frame.columns) == ["source", "target", "weight", "sd", "support", "q_value"]
    assert frame["sd"].tolist() == [1.0, 3.0, 2.0]
    part = network.subset(["B", "A"], ["C", "B"])
    assert part.evidence is not None
    np.testing.assert_array_equal(part.evidence.sd, [[5, 4], [2, 1]])
    assert network.top(1).to_frame()["q_value"].tolist() == [0.01]


def test_called_keeps_the_edges_below_the_rate(network: RegulatoryNetwork) -> None:
    assert network.called().to_frame()["target"].tolist() == ["B", "A"]
    assert network.called(0.01).n_edges == 1
    assert network.called(0.5).n_edges == 3
    with pytest.raises(ValueError, match="`fdr` is 5"):
        network.called(5)


def test_without_evidence_nothing_can_be_called(network: RegulatoryNetwork) -> None:
    plain = RegulatoryNetwork(network.weight, network.regulators, network.targets)
    with pytest.raises(ValueError, match="train_ensemble"):
        plain.called()
    assert list(plain.to_frame().columns) == ["source", "target", "weight"]


def test_evidence_must_fit(network: RegulatoryNetwork) -> None:
    with pytest.raises(ValueError, match=r"`sd` has shape \(2, 2\), expected \(2, 3\)"):
        RegulatoryNetwork(
            network.weight, network.regulators, network.targets, evidence=EdgeEvidence(*np.ones((3, 2, 2)))
        )


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"n_cells": np.ones((2, 2), dtype=int)}, ValueError, r"`n_cells` has shape \(2, 2\), expected \(2, 3\)"),
        ({"n_cells": np.ones((2, 3))}, TypeError, "`n_cells` is of type float64, expected integers"),
        (
            {"n_cells": np.full((2, 3), -1)},
            ValueError,
            "3 edges have a `n_cells` that is not between 0 and inf, e.g. -1",
        ),
        (
            {"support": np.full((2, 3), 1.5)},
            ValueError,
            "3 edges have a `support` that is not between 0 and 1, e.g. 1.5",
        ),
        ({"sd": np.full((2, 3), np.nan)}, ValueError, "3 edges have a `sd` that is not between 0 and inf, e.g. nan"),
        ({"sd": np.full((2, 3), np.inf)}, ValueError, "3 edges have a `sd`"),
        ({"q_value": np.full((2, 3), -0.1)}, ValueError, "3 edges have a `q_value` that is not between 0 and 1"),
    ],
    ids=str,
)
def test_evidence_out_of_its_range_is_refused(
    network: RegulatoryNetwork, change: dict[str, np.ndarray], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        replace(network, evidence=network.evidence._replace(**change))


def test_pairs_without_an_edge_may_lack_evidence(network: RegulatoryNetwork) -> None:
    sd = np.where(network.weight == 0, np.nan, 0.5)
    assert replace(network, evidence=EdgeEvidence(sd, sd)).to_frame()["support"].tolist() == [0.5, 0.5, 0.5]


def test_evidence_is_a_read_only_copy(network: RegulatoryNetwork) -> None:
    support = np.full((2, 3), 0.9)
    kept = replace(network, evidence=EdgeEvidence(np.ones((2, 3)), support)).evidence
    support[:] = 0
    np.testing.assert_array_equal(kept.support, 0.9)
    with pytest.raises(ValueError, match="read-only"):
        kept.support[0, 0] = 1


@pytest.fixture
def counted(network: RegulatoryNetwork) -> RegulatoryNetwork:
    """A network that comes with support and numbers of cells, but without an ensemble."""
    support = np.array([[0.0, 0.95, 0.6], [0.99, 0.0, 0.0]])
    n_cells = np.array([[40, 7, 3], [12, 5, 0]])
    return replace(network, evidence=EdgeEvidence(np.arange(6.0).reshape(2, 3), support, n_cells=n_cells))


def test_a_table_has_the_columns_that_are_known(counted: RegulatoryNetwork) -> None:
    rows = [["A", "B", 2.0, 1.0, 0.95, 7], ["B", "A", -1.0, 3.0, 0.99, 12], ["A", "C", -0.3, 2.0, 0.6, 3]]
    expected = pd.DataFrame(rows, columns=["source", "target", "weight", "sd", "support", "n_cells"])
    pd.testing.assert_frame_equal(counted.to_frame(), expected.astype({"weight": np.float32}), check_dtype=False)
    assert counted.to_frame()["n_cells"].dtype.kind == "i"
    every = replace(counted, evidence=counted.evidence._replace(q_value=np.ones((2, 3))))
    columns = ["source", "target", "weight", "sd", "support", "q_value", "n_cells"]
    assert list(every.to_frame().columns) == columns
    assert list(every.to_frame(0).columns) == columns


def test_parts_keep_what_is_known(counted: RegulatoryNetwork) -> None:
    part = counted.subset(["B", "A"], ["C", "B"]).evidence
    assert part.n_cells.tolist() == [[0, 5], [3, 7]]
    assert part.q_value is None
    assert counted.top(1).evidence.support.tolist() == counted.evidence.support.tolist()
    assert (counted.to_varp(list("ABC")) != replace(counted, evidence=None).to_varp(list("ABC"))).nnz == 0


def test_supported_keeps_edges_of_at_least_that_support(counted: RegulatoryNetwork) -> None:
    assert counted.supported().to_frame()["weight"].tolist() == [2.0, -1.0]
    assert counted.supported(0.96).to_frame()["weight"].tolist() == [-1.0]
    assert counted.supported(0).n_edges == 3
    assert counted.supported(1).n_edges == 0
    with pytest.raises(ValueError, match="`support` is 95"):
        counted.supported(95)
    with pytest.raises(ValueError, match="no `support` of its edges; take the network from `get_regulation`"):
        replace(counted, evidence=None).supported()


def test_without_q_values_nothing_can_be_called(counted: RegulatoryNetwork) -> None:
    with pytest.raises(ValueError, match=r"no `q_value` of its edges; call `model\.train_ensemble\(\)`"):
        counted.called()


def test_evidence_of_other_shapes_or_one_member_is_refused() -> None:
    weight = np.ones((2, 3))
    for members, null in (((3, 2, 2), (2, 3)), ((1, 2, 3), (2, 3)), ((3, 2, 3), (3, 2))):
        with pytest.raises(ValueError, match=r"`members` \(.*expected \(R, T\), \(K, R, T\) with K of 2 or more"):
            edge_evidence(weight, np.ones(members), np.ones(null))


def test_rates_need_finite_strengths() -> None:
    with pytest.raises(ValueError, match="not finite, expected absolute weights"):
        false_discovery_rate(np.array([np.nan, 1.0]), np.ones(2))
