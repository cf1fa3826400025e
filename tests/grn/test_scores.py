"""Scores agree with their definitions, computed by loops, by all orders of ties and by scikit-learn."""

import dataclasses
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score

from scdual.grn import (
    RegulatoryNetwork,
    auprc_ratio,
    auroc,
    balanced_sign_accuracy,
    early_precision_ratio,
    score_network,
    sign_accuracy,
    sign_majority,
)

RANKINGS = [early_precision_ratio, auprc_ratio, auroc]
Candidates = tuple[np.ndarray, np.ndarray]


def orders(strength: np.ndarray) -> list[tuple[int, ...]]:
    """Return all orders of the candidates by falling strength."""
    every = itertools.permutations(range(len(strength)))
    return [order for order in every if all(strength[i] >= strength[j] for i, j in itertools.pairwise(order))]


def loop_epr(ranked: list[bool]) -> float:
    k = sum(ranked)
    return (sum(ranked[:k]) / k) / (k / len(ranked))


def loop_auprc_ratio(ranked: list[bool]) -> float:
    precisions = [sum(ranked[: i + 1]) / (i + 1) for i, is_true in enumerate(ranked) if is_true]
    return np.mean(precisions) / np.mean(ranked)


def loop_auroc(ranked: list[bool]) -> float:
    pairs = [(i, j) for i, j in itertools.product(range(len(ranked)), repeat=2) if ranked[i] and not ranked[j]]
    return float(np.mean([i < j for i, j in pairs]))


@st.composite
def candidates(draw: st.DrawFn, max_size: int = 7) -> Candidates:
    """Draw few levels of strength, so that ties are common."""
    n = draw(st.integers(2, max_size))
    strength = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    truth = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    assume(0 < sum(truth) < n)
    return np.array(strength, dtype=float), np.array(truth)


@pytest.mark.parametrize(
    ("score", "loop"),
    [(early_precision_ratio, loop_epr), (auprc_ratio, loop_auprc_ratio), (auroc, loop_auroc)],
    ids=["epr", "auprc_ratio", "auroc"],
)
@given(drawn=candidates())
@settings(deadline=None, max_examples=30)
def test_ties_count_as_the_mean_over_all_their_orders(score: object, loop: object, drawn: Candidates) -> None:
    strength, truth = drawn
    expected = np.mean([loop(truth[list(order)].tolist()) for order in orders(strength)])
    assert score(strength, truth) == pytest.approx(expected, rel=1e-12)


def test_agrees_with_scikit_learn_without_ties() -> None:
    rng = np.random.default_rng(0)
    strength, truth = rng.permutation(5000) / 5000, rng.random(5000) < 0.1
    assert auprc_ratio(strength, truth) == pytest.approx(average_precision_score(truth, strength) / truth.mean())
    assert auroc(strength, truth) == pytest.approx(roc_auc_score(truth, strength))
    precision = truth[np.argsort(-strength)[: truth.sum()]].mean()
    assert early_precision_ratio(strength, truth) == pytest.approx(precision / truth.mean())


def test_auprc_agrees_with_sampled_orders_of_large_ties() -> None:
    rng = np.random.default_rng(0)
    strength, truth = rng.integers(0, 4, 400).astype(float), rng.random(400) < 0.2
    ranked = [truth[np.lexsort((rng.random(400), -strength))].tolist() for _ in range(200)]
    sampled = [loop_auprc_ratio(order) for order in ranked]
    error = np.std(sampled) / math.sqrt(len(sampled))
    assert auprc_ratio(strength, truth) == pytest.approx(np.mean(sampled), abs=4 * error)


@pytest.mark.parametrize("score", RANKINGS)
@given(drawn=candidates(max_size=30), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_order_shape_and_scale_do_not_matter(score: object, drawn: Candidates, seed: int) -> None:
    strength, truth = drawn
    order = np.random.default_rng(seed).permutation(len(truth))
    expected = score(strength, truth)  # to the last digit
    assert score(strength[order], truth[order]) == expected
    assert score(strength**3 + 1, truth) == expected
    assert score(strength.astype(np.uint8), truth.astype(int)) == expected
    assert score(strength[None].astype(np.float32), truth[None]) == expected


@pytest.mark.parametrize(("score", "perfect"), [(early_precision_ratio, 5), (auprc_ratio, 5), (auroc, 1)])
def test_perfect_ranking(score: object, perfect: float) -> None:
    truth = np.arange(20) % 5 == 0
    assert score(truth.astype(float), truth) == pytest.approx(perfect)


@pytest.mark.parametrize(("score", "expected"), [(early_precision_ratio, 1), (auroc, 0.5)])
def test_equal_strengths_score_as_random(score: object, expected: float) -> None:
    truth = np.arange(20) % 5 == 0
    assert score(np.zeros(20), truth) == pytest.approx(expected)


def test_a_million_candidates_stay_exact() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(1_000_000) < 0.01
    strength = np.round(rng.random(1_000_000) + truth, 3)
    ranks = np.argsort(np.argsort(-(strength + 1e-9 * rng.random(1_000_000))))
    one_order = average_precision_score(truth, -ranks.astype(float)) / truth.mean()
    assert auprc_ratio(strength, truth) == pytest.approx(one_order, rel=1e-2)
    everything_tied = auprc_ratio(np.zeros(1_000_000), truth)
    assert everything_tied == pytest.approx(1, rel=1e-2)


@pytest.mark.parametrize("score", RANKINGS)
@pytest.mark.parametrize(
    ("strength", "truth", "message"),
    [
        pytest.param([1, 2], [0, 0], "0 of 2 candidates are true", id="none true"),
        pytest.param([1, 2], [1, 1], "2 of 2 candidates are true", id="all true"),
        pytest.param([], [], "0 of 0 candidates", id="empty"),
        pytest.param([1, -2], [0, 1], "negative or non-finite", id="signed weight"),
        pytest.param([1, np.nan], [0, 1], "negative or non-finite", id="nan"),
        pytest.param([1, 2], [-1, 1], "`truth` has values like", id="signs as truth"),
        pytest.param([1, 2, 3], [0, 1], r"shape \(3,\) and `truth` \(2,\)", id="shapes"),
    ],
)
def test_rankings_reject_bad_input(score: object, strength: list, truth: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score(np.array(strength, dtype=float), np.array(truth))


def test_sign_accuracy_counts_zero_weights_half() -> None:
    weight = np.array([0.1, -2.0, 0.0, 3.0, -1.0])
    sign = np.array([1, 1, -1, 1, 0])
    assert sign_accuracy(weight, sign) == pytest.approx((1 + 0 + 0.5 + 1) / 4)
    assert balanced_sign_accuracy(weight, sign) == pytest.approx((2 / 3 + 0.5) / 2)
    assert sign_majority(sign) == pytest.approx(3 / 4)


def test_sign_scores_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    weight, sign = rng.normal(size=200), rng.choice([-1, 0, 1], 200, p=[0.2, 0.2, 0.6])
    signed, predicted = sign[sign != 0], np.sign(weight)[sign != 0]
    assert sign_accuracy(weight, sign) == pytest.approx(np.mean(signed == predicted))
    assert balanced_sign_accuracy(weight, sign) == pytest.approx(balanced_accuracy_score(signed, predicted))
    assert sign_accuracy(np.ones(200), sign) == pytest.approx(sign_majority(sign))


def test_flipping_every_weight_flips_the_sign_accuracy() -> None:
    rng = np.random.default_rng(0)
    weight, sign = rng.normal(size=(10, 20)), rng.choice([-1, 0, 1], (10, 20))
    assert sign_accuracy(-weight, sign) == pytest.approx(1 - sign_accuracy(weight, sign))
    assert balanced_sign_accuracy(-weight, sign) == pytest.approx(1 - balanced_sign_accuracy(weight, sign))


def test_balanced_sign_accuracy_needs_both_signs() -> None:
    assert math.isnan(balanced_sign_accuracy(np.ones(3), np.array([1, 1, 0])))


@pytest.mark.parametrize(
    ("weight", "sign", "message"),
    [
        pytest.param([1, 2], [0, 0], "None of 2 `sign` values", id="no sign"),
        pytest.param([1, 2], [0.5, 1], "`sign` has values like", id="weights as sign"),
        pytest.param([1, 2, 3], [0, 1], r"shape \(3,\) and `sign` \(2,\)", id="shapes"),
        pytest.param([np.nan, 1], [1, 1], "missing values", id="nan"),
    ],
)
def test_sign_scores_reject_bad_input(weight: list, sign: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sign_accuracy(np.array(weight, dtype=float), np.array(sign))


@pytest.fixture
def network() -> RegulatoryNetwork:
    """Return four regulators that are also targets, and eight more targets."""
    regulators, targets = list("ABCD"), list("hgfeDCBAxyzw")
    weight = np.round(np.random.default_rng(1).normal(size=(4, 12)), 1)
    weight[np.array(regulators)[:, None] == np.array(targets)] = 0
    return RegulatoryNetwork(weight, regulators, targets)


@pytest.fixture
def reference() -> pd.DataFrame:
    """Return edges with a repeat, a pair of both signs, a self edge, an unknown sign and genes not in the network."""
    rows = [
        ("A", "e", 1), ("A", "e", 1), ("A", "f", -1), ("A", "B", 1), ("B", "A", -1), ("B", "g", 1), ("B", "g", -1),
        ("C", "C", 1), ("C", "h", np.nan), ("Q", "w", 1), ("A", "unknown", 1), ("C", "e", -1),
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["source", "target", "sign"])


def loop_candidates(network: RegulatoryNetwork, reference: pd.DataFrame, allowed: set[str]) -> list[tuple]:
    """Return (weight, truth, sign, pair of genes) of each candidate, by the definition."""
    edges: dict[tuple[str, str], set] = {}
    for source, target, sign in reference.itertuples(index=False):
        if source != target:
            edges.setdefault((source, target), set()).add(0 if math.isnan(sign) else sign)
    sources, genes = {pair[0] for pair in edges} & allowed, {gene for pair in edges for gene in pair}
    return [
        (network.weight[r, t], (source, target) in edges, sum(edges.get((source, target), {0})), (source, target))
        for r, source in enumerate(network.regulators)
        for t, target in enumerate(network.targets)
        if source in sources and target in genes and source != target
    ]


def loop_auroc_within(network: RegulatoryNetwork, reference: pd.DataFrame, allowed: set[str], by: int) -> float:
    """Return the mean of scikit-learn's area over the genes at place ``by`` of the pairs."""
    groups: dict[str, list[tuple[float, bool]]] = {}
    for weight, is_true, _, pair in loop_candidates(network, reference, allowed):
        groups.setdefault(pair[by], []).append((abs(weight), is_true))
    areas = []
    for pairs in groups.values():
        strength, truth = zip(*pairs, strict=True)
        if 0 < sum(truth) < len(truth):
            areas.append(roc_auc_score(truth, strength))
    return float(np.mean(areas))


@pytest.mark.parametrize("regulators", [None, ["A", "B"], {"C", "A", "nobody"}], ids=["all", "list", "set"])
def test_score_network_agrees_with_a_loop(
    network: RegulatoryNetwork, reference: pd.DataFrame, regulators: list[str] | None
) -> None:
    allowed = set("ABCD") if regulators is None else set(regulators)
    weight, truth, sign, _ = map(np.array, zip(*loop_candidates(network, reference, allowed), strict=True))
    found = score_network(network, reference, regulators=regulators)
    assert dataclasses.astuple(found) == pytest.approx(
        (
            early_precision_ratio(np.abs(weight), truth),
            auprc_ratio(np.abs(weight), truth),
            auroc(np.abs(weight), truth),
            sign_accuracy(weight, sign),
            balanced_sign_accuracy(weight, sign),
            sign_majority(sign),
            truth.sum(),
            len(truth),
            loop_auroc_within(network, reference, allowed, by=0),
            loop_auroc_within(network, reference, allowed, by=1),
        )
    )


def test_score_network_counts_the_candidates(network: RegulatoryNetwork, reference: pd.DataFrame) -> None:
    found = score_network(network, reference)
    assert found.n_candidates == 3 * 8 - 3  # A, B, C by A, B, C, e, f, g, h, w less the self pairs
    assert found.n_edges == 7


def test_score_network_ignores_gene_and_row_order(network: RegulatoryNetwork, reference: pd.DataFrame) -> None:
    shuffled = network.subset(list("CADB"), sorted(network.targets))
    found = score_network(shuffled, reference.sample(frac=1, random_state=0).astype({"source": "category"}))
    assert found == score_network(network, reference)


def test_scores_keep_every_digit_in_any_order_of_edges_and_genes() -> None:
    rng = np.random.default_rng(0)
    genes = [f"g{i}" for i in range(60)]
    weight = rng.lognormal(size=(20, 60)).astype(np.float32) * rng.choice([-1, 1], (20, 60))
    weight[np.arange(20), np.arange(20)] = 0
    network = RegulatoryNetwork(weight, genes[:20], genes)
    known = (
        network.top(300)
        .to_frame()
        .assign(sign=lambda frame: rng.choice([-1, 0, 1], len(frame)))[["source", "target", "sign"]]
    )
    expected = score_network(network, known)
    for seed in range(5):
        order = np.random.default_rng(seed)
        shuffled = network.subset(order.permutation(genes[:20]), order.permutation(genes))
        assert score_network(shuffled, known.sample(frac=1, random_state=seed)) == expected


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_auroc_is_a_ratio_of_whole_numbers(dtype: type) -> None:
    rng = np.random.default_rng(0)
    strength, truth = rng.random(3001).astype(dtype), rng.random(3001) < 0.3
    won = (strength[truth][:, None] > strength[~truth][None, :]).sum()
    assert auroc(strength, truth) == won / (truth.sum() * (~truth).sum())


def test_the_true_network_scores_perfectly(network: RegulatoryNetwork) -> None:
    strongest = network.top(12)
    reference = strongest.to_frame().assign(sign=lambda frame: np.sign(frame["weight"]))
    found = score_network(strongest, reference)
    density = found.n_edges / found.n_candidates
    assert (found.auroc, found.sign_accuracy, found.balanced_sign_accuracy) == (1, 1, 1)
    assert (found.epr, found.auprc_ratio) == pytest.approx((1 / density, 1 / density))


def test_sign_scores_are_nan_without_signs(network: RegulatoryNetwork, reference: pd.DataFrame) -> None:
    signed, found = score_network(network, reference), score_network(network, reference.drop(columns="sign"))
    assert found.auroc == signed.auroc
    assert np.isnan([found.sign_accuracy, found.balanced_sign_accuracy, found.sign_majority]).all()


def test_a_reference_may_say_its_signs_in_other_columns_or_in_a_file(
    network: RegulatoryNetwork, reference: pd.DataFrame, tmp_path: Path
) -> None:
    expected = score_network(network, reference)
    words = reference["sign"].map({1: "Activation", -1: "Repression"})
    trrust = reference.drop(columns="sign").rename(columns={"source": "TF", "target": "Target"}).assign(Mode=words)
    assert score_network(network, trrust) == expected
    assert score_network(network, reference.rename(columns={"sign": "mor"})) == expected
    assert score_network(network, reference.rename(columns={"sign": "weight"})) == expected
    reference.to_csv(tmp_path / "reference.csv", index=False)
    assert score_network(network, tmp_path / "reference.csv") == expected


def test_a_reference_of_ensembl_ids_matches_without_versions(
    network: RegulatoryNetwork, reference: pd.DataFrame
) -> None:
    names = {name: f"ENSG{i:011d}" for i, name in enumerate([*network.targets, "Q", "unknown"])}
    renamed = RegulatoryNetwork(
        network.weight,
        [f"{names[gene]}.3" for gene in network.regulators],
        [f"{names[gene]}.3" for gene in network.targets],
    )
    with pytest.warns(UserWarning, match="names of the reference are matched without the version"):
        found = score_network(renamed, reference.replace(names))
    assert found == score_network(network, reference)


@pytest.mark.parametrize("dtype", ["object", "category", "Int64"])
def test_score_network_reads_any_type_of_sign(network: RegulatoryNetwork, reference: pd.DataFrame, dtype: str) -> None:
    doubled = pd.concat([reference, reference]).astype({"sign": dtype})  # the index repeats
    assert score_network(network, doubled) == score_network(network, reference)


def test_score_network_leaves_the_reference_alone(network: RegulatoryNetwork, reference: pd.DataFrame) -> None:
    before = reference.copy()
    score_network(network, reference)
    pd.testing.assert_frame_equal(reference, before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            lambda frame: frame.rename(columns={"source": "factor"}), "'source'.* missing", id="no source column"
        ),
        pytest.param(lambda frame: frame.assign(sign=0.3), "column `sign` .* values like", id="weights as sign"),
        pytest.param(lambda frame: frame.assign(sign="strong"), "column `sign` .* values like", id="sign as text"),
        pytest.param(lambda frame: frame.assign(source=frame["source"].str.lower()), "share 0 regulators", id="case"),
        pytest.param(lambda frame: frame[frame["source"] == "C"].head(1), "share 0 regulators", id="only self edges"),
        pytest.param(
            lambda frame: frame.assign(weight=0), "12 of 12 edges of the reference .* weight of zero", id="zero"
        ),
        pytest.param(lambda frame: frame.assign(source="a"), "'a' and 'A' differ in capitals only", id="organism"),
        pytest.param(lambda frame: frame[frame["target"] == "unknown"], "0 of 0 candidates are true", id="no pair"),
    ],
)
def test_score_network_rejects_bad_references(
    network: RegulatoryNetwork, reference: pd.DataFrame, change: object, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        score_network(network, change(reference))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"network": None}, TypeError, "Found a NoneType, expected a RegulatoryNetwork"),
        ({"network": {"NK": None}}, TypeError, "Pass one of its values, such as that of 'NK'"),
        ({"reference": [("A", "e")]}, TypeError, "Found a reference of type list"),
        ({"reference": "collectri"}, FileNotFoundError, "The reference 'collectri' is no file"),
        ({"regulators": "A"}, TypeError, r"`regulators` is the text 'A'.*\['A'\]"),
        ({"regulators": 5}, TypeError, "`regulators` holds 5"),
        ({"regulators": []}, ValueError, "`regulators` has no names"),
        ({"regulators": ["nobody"]}, ValueError, "share 0 regulators"),
    ],
    ids=str,
)
def test_score_network_checks_its_arguments(
    network: RegulatoryNetwork, reference: pd.DataFrame, arguments: dict[str, Any], error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        score_network(**{"network": network, "reference": reference} | arguments)


@pytest.mark.parametrize("score", RANKINGS)
def test_rankings_of_text_are_an_error(score: Any) -> None:
    with pytest.raises(TypeError, match="`strength` is .*expected numbers"):
        score(["a", "b"], [0, 1])


def test_signs_of_text_are_an_error() -> None:
    with pytest.raises(TypeError, match="`weight` is .*expected numbers"):
        sign_accuracy(["a"], [1])
