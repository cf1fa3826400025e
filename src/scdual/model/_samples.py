"""Which cells of a group are compared: those of conditions, or of donors in conditions."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from scdual._checks import listed
from scdual.module.map import Difference, cell_test, donor_test

LEAST_CELLS = 20  # of a sample: with so few the errors of edges hold in random parts of one condition
_LEAST_DONORS = 2  # of a condition, or in both: one donor does not tell how donors differ


class Sample(NamedTuple):
    """The cells of one condition, or of one donor in it."""

    condition: str
    donor: str | None
    cells: np.ndarray


class Design(NamedTuple):
    """Samples that are compared; paired ones stand next to each other, the reference first."""

    samples: list[Sample]
    side: np.ndarray  # 0 in the reference, 1 in the other condition
    is_paired: bool

    @property
    def n_donors(self) -> int:
        """Number of donors, 0 if cells are compared."""
        return len({sample.donor for sample in self.samples} - {None})

    def test(self, estimate: np.ndarray, variance: np.ndarray, *, most_borrowed: float = np.inf) -> Difference:
        """Return the difference between conditions of estimates, with squared errors; one row per sample."""
        if not self.n_donors:
            return cell_test(estimate, variance, np.array([len(sample.cells) for sample in self.samples]))
        if self.is_paired:
            change, error = estimate[1::2] - estimate[::2], variance[1::2] + variance[::2]
            return donor_test(change, error, np.ones(len(change), dtype=int), most_borrowed=most_borrowed)
        return donor_test(estimate, variance, self.side, most_borrowed=most_borrowed)


def design(cells: np.ndarray, condition: pd.Series, donor: pd.Series | None, conditions: Sequence[str]) -> Design | str:
    """Return what to compare among some cells, or why they say nothing.

    Parameters
    ----------
    cells
        Positions of the cells.
    condition, donor
        Names of the condition and the donor of all cells; None takes the cells of a condition together.
    conditions
        The reference and the condition to compare with it.
    """
    samples = [sample for name in conditions for sample in _of_condition(name, cells, condition, donor)]
    large = [sample for sample in samples if len(sample.cells) >= LEAST_CELLS]
    by_condition = [[sample for sample in large if sample.condition == name] for name in conditions]
    if donor is None:
        if not all(by_condition):
            return f"a condition has fewer than {LEAST_CELLS} cells there"
        return Design(large, np.array([0, 1]), is_paired=False)
    donors = [{sample.donor: sample for sample in part} for part in by_condition]
    both = [name for name in donors[0] if name in donors[1]]
    if len(both) >= _LEAST_DONORS:
        pairs = [side[name] for name in both for side in donors]
        return Design(pairs, np.tile([0, 1], len(both)), is_paired=True)
    if min(map(len, donors)) >= _LEAST_DONORS:
        return Design(large, np.repeat([0, 1], [len(side) for side in donors]), is_paired=False)
    return (
        f"fewer than {_LEAST_DONORS} donors have {LEAST_CELLS} cells there in each condition, and one donor does not tell "
        "how donors differ"
    )


def _of_condition(name: str, cells: np.ndarray, condition: pd.Series, donor: pd.Series | None) -> list[Sample]:
    chosen = cells[(condition.iloc[cells] == name).to_numpy()]
    if donor is None:
        return [Sample(name, None, chosen)]
    of_donor = donor.iloc[chosen]
    return [
        Sample(name, one, chosen[(of_donor == one).to_numpy()])
        for one in of_donor.cat.categories
        if (of_donor == one).any()
    ]


def sentences(designs: Sequence[Design], *, has_donors: bool) -> list[str]:
    """Return what p values of these designs speak for, and what they cannot say."""
    if not has_donors:
        return [
            "The unit is the cell: p values say how sure a difference is among these cells, not whether other donors "
            "would show it. If the cells are of several donors, pass `donor_key`."
        ]
    paired = any(each.is_paired for each in designs)
    found = [
        "The unit is the donor"
        + (": donors in both conditions are compared with themselves." if paired else ", each in one condition.")
    ]
    fewest = min(
        min(each.n_donors, *(np.bincount(each.side))) if not each.is_paired else each.n_donors for each in designs
    )
    if fewest == _LEAST_DONORS:
        found.append(
            "Two donors cannot tell how much donors differ in one edge or one regulator; that is taken from all of them "
            "together, so a change that these two share by chance may pass. Whether other donors would show it, only "
            "more donors can say."
        )
    return found


def unused_cells(
    groups: Mapping[Any, np.ndarray],
    condition: pd.Series,
    donor: pd.Series | None,
    designs: Mapping[tuple[Any, str], Design],
) -> str:
    """Return which cells of groups that are compared take no part in it, and why; nothing if all do.

    Parameters
    ----------
    groups
        Positions of the cells of each group.
    condition, donor
        Names of the condition and the donor of all cells.
    designs
        What is compared, by group and condition.
    """
    chosen = np.unique(np.concatenate([groups[group] for group, _ in designs])) if designs else np.array([], int)
    is_named = condition.notna() if donor is None else condition.notna() & donor.notna()
    reasons: dict[str, None] = {}  # in their order, each once
    n_unnamed = int((~is_named.to_numpy()[chosen]).sum())
    if n_unnamed:
        reasons[f"{n_unnamed} cells have no value for condition{'' if donor is None else ' or donor'}"] = None
    for (group, name), each in designs.items():
        cells, used = groups[group], {(sample.condition, sample.donor) for sample in each.samples}
        of_both = [
            sample
            for one in (each.samples[0].condition, name)
            for sample in _of_condition(one, cells, condition, donor)
        ]
        for sample in of_both:
            if (sample.condition, sample.donor) not in used:
                why = (
                    f"fewer than {LEAST_CELLS} cells there"
                    if len(sample.cells) < LEAST_CELLS
                    else "no partner in the other condition"
                )
                reasons[f"donor {sample.donor} in {sample.condition} has {why}"] = None
    if not reasons:
        return ""
    return f"Some cells take no part in the comparison: {listed(reasons, most=5)}. Fill in what is missing, or merge small samples."
