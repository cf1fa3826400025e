"""Which cells are compared, and how: against loops over cells, and tests of SciPy."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from scdual.model._samples import Design, Sample, design, sentences

EXACT = 1e-10  # squared error of estimates that are as good as known


def obs(sizes: dict[tuple[str, str], int]) -> tuple[pd.Series, pd.Series]:
    """Return condition and donor of cells in a random order."""
    rows = [key for key, size in sizes.items() for _ in range(size)]
    order = np.random.default_rng(0).permutation(len(rows))
    condition, donor = (pd.Series([rows[i][part] for i in order], dtype="category") for part in (0, 1))
    return condition, donor


def samples_of(names: str) -> list[Sample]:
    """Return samples such as `c1 s1`: donor 1 in control, donor 1 stimulated."""
    return [Sample(name[0], name[1:], np.arange(20)) for name in names.split()]


PAIRS = Design(samples_of("c1 s1 c2 s2 c3 s3"), np.array([0, 1] * 3), is_paired=True)
APART = Design(samples_of("c1 c2 c3 s4 s5"), np.array([0, 0, 0, 1, 1]), is_paired=False)


def test_pairs_are_tested_by_their_changes_from_the_reference() -> None:
    x = np.array([[1.0], [3.0], [2.0], [4.5], [0.0], [1.0]])
    found = PAIRS.test(x, np.full(x.shape, EXACT), most_borrowed=0)
    expected = stats.ttest_rel(x[1::2, 0], x[::2, 0])
    np.testing.assert_allclose(found.difference, 5.5 / 3, rtol=1e-6)
    np.testing.assert_allclose(found.statistic, expected.statistic, rtol=1e-5)
    np.testing.assert_allclose(found.p_value, expected.pvalue, rtol=1e-5)


def test_a_pair_has_the_errors_of_both_samples() -> None:
    variance = np.array([[0.3], [0.1], [0.2], [0.5], [0.4], [0.1]])
    found = PAIRS.test(np.zeros((6, 1)) + [[0.0], [0.1]] * 3, variance)
    np.testing.assert_allclose(found.se, (1 / 0.4 + 1 / 0.7 + 1 / 0.5) ** -0.5)


def test_donors_apart_are_tested_as_two_groups() -> None:
    x = np.array([[1.0], [3.0], [2.0], [7.5], [9.0]])
    found = APART.test(x, np.full(x.shape, EXACT), most_borrowed=0)
    np.testing.assert_allclose(found.difference, 6.25, rtol=1e-6)
    assert found.statistic[0] > 0


@pytest.mark.parametrize("chosen", [PAIRS, APART], ids=["pairs", "apart"])
def test_what_is_borrowed_is_bounded(chosen: Design) -> None:
    x = np.random.default_rng(0).normal(3, 1, size=(len(chosen.samples), 30))
    few, many = (chosen.test(x, np.full(x.shape, 0.1), most_borrowed=most).p_value for most in (1.0, np.inf))
    assert (few > many).mean() > 0.5


def test_cells_are_tested_by_their_errors_alone() -> None:
    plain = Design([Sample("c", None, np.arange(20)), Sample("s", None, np.arange(20))], np.array([0, 1]), False)
    found = plain.test(np.array([[1.0], [2.0]]), np.array([[0.09], [0.16]]))
    np.testing.assert_allclose(found.statistic, 2)
    assert plain.n_donors == 0


def by_loop(cells: np.ndarray, condition: pd.Series, donor: pd.Series, sample: Sample) -> list[int]:
    return [cell for cell in cells if condition[cell] == sample.condition and donor[cell] == sample.donor]


@pytest.mark.parametrize(
    ("sizes", "names", "is_paired"),
    [
        ({"c1": 20, "c2": 30, "s1": 25, "s2": 20}, "c1 s1 c2 s2", True),
        ({"c1": 20, "c2": 30, "c3": 40, "s2": 25, "s3": 20, "s4": 20}, "c2 s2 c3 s3", True),
        ({"c1": 20, "c2": 30, "s2": 25, "s3": 20}, "c1 c2 s2 s3", False),  # one pair tells nothing of pairs
        ({"c1": 20, "c2": 30, "s3": 25, "s4": 20, "s5": 20}, "c1 c2 s3 s4 s5", False),
        ({"c1": 20, "c2": 30, "c3": 19, "s1": 25, "s2": 20, "s3": 50}, "c1 s1 c2 s2", True),
        ({"c1": 20, "c2": 19, "s1": 25, "s2": 20}, "", None),
        ({"c1": 90, "s1": 90}, "", None),
        ({"c1": 90, "s2": 90, "s3": 90}, "", None),
    ],
    ids=str,
)
def test_donors_are_paired_where_two_are_in_both(sizes: dict[str, int], names: str, is_paired: bool | None) -> None:
    condition, donor = obs({(key[0], key[1:]): size for key, size in sizes.items()})
    cells = np.arange(len(condition))
    found: Any = design(cells, condition, donor, ["c", "s"])
    if not names:
        assert "one donor does not tell how donors differ" in found
        return
    assert " ".join(f"{each.condition}{each.donor}" for each in found.samples) == names
    assert found.is_paired == is_paired
    assert found.side.tolist() == [int(name[0] == "s") for name in names.split()]
    for sample in found.samples:
        assert sorted(sample.cells) == by_loop(cells, condition, donor, sample)


def test_only_cells_of_the_group_are_taken() -> None:
    condition, donor = obs({("c", "1"): 60, ("s", "1"): 60, ("c", "2"): 60, ("s", "2"): 60})
    group = np.arange(20, 200)
    for found in (design(group, condition, donor, ["c", "s"]), design(group, condition, None, ["c", "s"])):
        assert not isinstance(found, str)
        assert sorted(np.concatenate([sample.cells for sample in found.samples])) == group.tolist()


@pytest.mark.parametrize(("n_stimulated", "is_enough"), [(19, False), (20, True)])
def test_a_sample_has_twenty_cells(n_stimulated: int, is_enough: bool) -> None:
    condition, _ = obs({("c", "1"): 50, ("s", "1"): n_stimulated})
    found = design(np.arange(len(condition)), condition, None, ["c", "s"])
    assert isinstance(found, Design) == is_enough
    assert is_enough or "fewer than 20 cells" in found


def test_two_donors_on_one_side_are_two_donors() -> None:
    two = "Two donors cannot tell"
    assert two in sentences([APART], has_donors=True)[-1]  # three and two
    assert two not in sentences([PAIRS], has_donors=True)[-1]
    few = Design(samples_of("c1 s1 c2 s2"), np.array([0, 1] * 2), is_paired=True)
    assert two in sentences([PAIRS, few], has_donors=True)[-1]
    many = Design(samples_of("c1 c2 c3 s4 s5 s6"), np.repeat([0, 1], 3), is_paired=False)
    assert two not in sentences([many], has_donors=True)[-1]
