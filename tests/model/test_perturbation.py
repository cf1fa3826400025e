"""Changes of values become a table of log changes and counts."""

import numpy as np
import pandas as pd
import pytest
import torch

from scdual.model._perturbation import effect_table
from scdual.module.map import Observed, Reach, Units

GENES, REGULATORS = pd.Index(["A", "x", "B", "y"]), pd.Index(["A", "B"])


@pytest.fixture
def table() -> pd.DataFrame:
    """Return the effects of setting A two steps lower: on B and x directly, on y by way of B."""
    weight = torch.tensor([[0.0, 0.0], [5.0, 0.0], [1.0, 0.0], [0.0, 0.5]])
    others = torch.tensor([[0.0], [0.4]])
    found = Reach(weight[:, :1], weight @ others, others)
    mean = torch.tensor([2.0, 0.3, 3.0, 4.0], dtype=torch.float64)
    observed = Observed(
        moments=None,
        value=torch.zeros(5, 1),
        set_value=torch.zeros(5, 1),
        mean_log=mean,
        mean_count=mean.expm1(),
        count_slope=2 * torch.ones(4, dtype=torch.float64),
        own_log=-mean[:1],
        own_count=-mean[:1].expm1(),
    )
    direct = (found.direct @ torch.tensor([-2.0])) * torch.linspace(0.5, 1.5, 11)[:, None]
    whole = direct + (found.indirect @ torch.tensor([-2.0])) * torch.linspace(0.5, 1.5, 11)[:, None]
    return effect_table(
        found,
        torch.tensor([-2.0]),
        torch.stack([direct, whole]),
        observed,
        Units(torch.full((4,), 0.5), torch.ones(2)),
        weight=weight,
        genes=GENES,
        regulators=REGULATORS,
        perturbed=GENES[:1],
    )


def test_no_gene_loses_more_than_it_has(table: pd.DataFrame) -> None:
    assert table.at["x", "direct"] == pytest.approx(-5)
    assert table.loc["x", ["log_change", "lower", "upper"]].tolist() == pytest.approx([-0.3] * 3)
    assert table.at["x", "count_change"] == pytest.approx(-np.expm1(0.3))


def test_parts_intervals_and_ways_are_told(table: pd.DataFrame) -> None:
    assert table["reach"].tolist() == ["perturbed", "direct", "direct", "indirect"]
    assert table["via"].tolist() == ["", "", "", "B"]
    assert table.loc["B", ["log_change", "direct", "indirect"]].tolist() == pytest.approx([-1, -1, 0])
    assert table.loc["B", ["lower", "upper"]].tolist() == pytest.approx([-1.45, -0.55])
    assert table.loc["y", ["log_change", "direct", "indirect"]].tolist() == pytest.approx([-0.2, 0, -0.2])
    assert table.at["B", "count_change"] == pytest.approx(-2)  # two molecules per log value
    assert (table["support"] == 1).all()


def test_the_perturbed_gene_is_as_it_was_set(table: pd.DataFrame) -> None:
    assert table.loc["A", ["log_change", "lower", "upper", "direct"]].tolist() == pytest.approx([-2] * 4)
    assert table.loc["A", ["count_change", "count_lower"]].tolist() == pytest.approx([-np.expm1(2)] * 2)
