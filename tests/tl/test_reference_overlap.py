"""The overlap counts edges as a loop does, and its p value is that of SciPy's hypergeometric distribution."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import hypergeom

from scdual.grn import RegulatoryNetwork, score_network
from scdual.tl import reference_overlap

GENES = [f"g{i:02d}" for i in range(12)]


@pytest.fixture
def network() -> RegulatoryNetwork:
    """Return five regulators that are also targets, and seven more targets."""
    weight = np.random.default_rng(3).normal(size=(5, 12))
    weight[np.arange(5), np.arange(5)] = 0
    return RegulatoryNetwork(weight, GENES[:5], GENES)


@pytest.fixture
def reference() -> pd.DataFrame:
    """Return edges with repeats, both signs, unknown signs, self edges and genes that the network lacks."""
    rng = np.random.default_rng(5)
    sources = rng.choice([*GENES[:3], "other"], 40)
    targets = rng.choice([*GENES[:10], "strange"], 40)
    return pd.DataFrame({"source": sources, "target": targets, "sign": rng.choice([-1.0, 1.0, np.nan], 40)})


def loop_counts(network: RegulatoryNetwork, reference: pd.DataFrame, top: int) -> tuple[int, int, int, int, int, int]:
    """Return candidates, known, strong, found, signed and right, counted by the definitions."""
    known: dict[tuple[str, str], set] = {}
    for source, target, sign in reference.itertuples(index=False):
        if source != target:
            known.setdefault((source, target), set()).add(0 if math.isnan(sign) else sign)
    sources, genes = {source for source, _ in known}, {gene for pair in known for gene in pair}
    candidates = {
        (source, target): float(network.weight[r, t])
        for r, source in enumerate(network.regulators)
        for t, target in enumerate(network.targets)
        if source in sources and target in genes and source != target
    }
    strong = sorted((pair for pair, weight in candidates.items() if weight), key=lambda pair: -abs(candidates[pair]))
    found = [pair for pair in strong[:top] if pair in known]
    signed = [pair for pair in found if sum(known[pair])]
    right = [pair for pair in signed if candidates[pair] * sum(known[pair]) > 0]
    n_known = len(candidates.keys() & known.keys())
    return len(candidates), n_known, len(strong[:top]), len(found), len(signed), len(right)


@pytest.mark.parametrize("top", [1, 5, 12, 10_000])
def test_agrees_with_a_loop_and_scipy(network: RegulatoryNetwork, reference: pd.DataFrame, top: int) -> None:
    n, n_known, n_top, n_found, n_signed, n_right = loop_counts(network, reference, top)
    overlap = reference_overlap(network, reference, top=top)
    assert (overlap.n_top, overlap.n_found, overlap.n_signed) == (n_top, n_found, n_signed)
    assert overlap.n_expected == pytest.approx(n_top * n_known / n)
    assert overlap.p_value == pytest.approx(hypergeom.sf(n_found - 1, n, n_known, n_top))
    expected = n_right / n_signed if n_signed else math.nan
    assert overlap.sign_agreement == pytest.approx(expected, nan_ok=True)
    assert overlap.scores == score_network(network, reference)


def test_odds_ratio_by_hand() -> None:
    weight = np.array([[4.0, 3.0, -2.0, 1.0, 0.5, 0.1]])
    reference = pd.DataFrame({"source": "A", "target": ["u", "w", "z"], "weight": [2.0, 0.7, -1.0]})
    others = pd.DataFrame({"source": "B", "target": list("vxy"), "weight": 1.0})  # make these genes candidates
    overlap = reference_overlap(RegulatoryNetwork(weight, ["A"], list("uvwxyz")), pd.concat([reference, others]), top=3)
    assert overlap.n_found == 2  # u and w, but not v; z is missed, x and y are neither
    assert overlap.odds_ratio == pytest.approx((2 / 1) / (1 / 2))
    assert overlap.p_value == pytest.approx((9 + 1) / 20)  # 2 or 3 of 3 found among the 20 ways to choose 3 of 6
    assert overlap.sign_agreement == 0.5  # u is right, w is not


def test_weight_and_sign_say_the_same(network: RegulatoryNetwork, reference: pd.DataFrame) -> None:
    weighted = reference.assign(weight=reference["sign"] * 0.3).drop(columns="sign")
    assert reference_overlap(network, weighted, top=9) == reference_overlap(network, reference, top=9)


def test_signs_count_in_whatever_column_they_stand(network: RegulatoryNetwork, reference: pd.DataFrame) -> None:
    expected = reference_overlap(network, reference, top=9)
    sizes = reference.assign(weight=2.0)  # a size without a sign does not make every edge activate
    assert reference_overlap(network, sizes, top=9) == expected
    assert reference_overlap(network, reference.rename(columns={"sign": "mor"}), top=9) == expected


def test_order_of_genes_and_rows_does_not_matter(network: RegulatoryNetwork, reference: pd.DataFrame) -> None:
    shuffled = network.subset(GENES[4::-1], GENES[::-1])
    reordered = reference.sample(frac=1, random_state=0).astype({"source": "category"})
    expected = reference_overlap(network, reference, top=9)
    assert reference_overlap(shuffled, reordered, top=9) == expected


def test_the_true_network_is_found_whole(network: RegulatoryNetwork) -> None:
    overlap = reference_overlap(network, network.to_frame(20), top=20)
    assert overlap.n_found == overlap.n_signed == 20
    assert overlap.odds_ratio == math.inf
    assert overlap.sign_agreement == 1
    assert overlap.p_value < 1e-6


def test_signs_are_not_needed(network: RegulatoryNetwork, reference: pd.DataFrame) -> None:
    overlap = reference_overlap(network, reference[["source", "target"]], top=9)
    assert overlap.n_signed == 0
    assert math.isnan(overlap.sign_agreement)
    assert overlap.p_value == reference_overlap(network, reference, top=9).p_value


def test_nothing_is_changed(network: RegulatoryNetwork, reference: pd.DataFrame) -> None:
    weighted = reference.rename(columns={"sign": "weight"})
    before = weighted.copy()
    reference_overlap(network, weighted)
    pd.testing.assert_frame_equal(weighted, before)


def test_bad_input_is_an_error(network: RegulatoryNetwork, reference: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="`top` is 0, expected a whole number of at least 1"):
        reference_overlap(network, reference, top=0)
    with pytest.raises(TypeError, match="`top` is 2.5, expected a whole number"):
        reference_overlap(network, reference, top=2.5)
    with pytest.raises(TypeError, match="Found a reference of type list"):
        reference_overlap(network, [("g00", "g01")])
    with pytest.raises(ValueError, match="share 0 regulators"):
        reference_overlap(network, reference.assign(source="other"))
    with pytest.raises(ValueError, match="Rename or add"):
        reference_overlap(network, reference.rename(columns={"source": "factor"}))
    with pytest.raises(TypeError, match="from_frame"):
        reference_overlap(network.to_frame(), reference)
