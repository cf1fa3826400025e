"""The picture shows the genes that are reached, in order, and tells direct from indirect without colour."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from scdual.model import Perturbation
from scdual.pl import perturbation


@pytest.fixture
def result() -> Perturbation:
    change = np.array([-2.0, 0.3, -0.5, 0.05, 0.2])
    effects = pd.DataFrame(
        {
            "log_change": change,
            "lower": change - 0.1,
            "upper": change + 0.1,
            "reach": ["perturbed", "direct", "indirect", "none", "direct"],
            "via": ["", "", "IRF1", "", ""],
        },
        index=["STAT1", "B2M", "CD74", "ACTB", "GBP1"],
    )
    return Perturbation({"STAT1": 0}, "monocytes", 40, 1, effects, effects)


def names(ax: Axes) -> list[str]:
    low, high = ax.get_ylim()
    labels = [label.get_text() for label in ax.get_yticklabels()]
    return labels if low > high else labels[::-1]


def test_reached_genes_stand_in_order_with_what_is_between(result: Perturbation) -> None:
    assert names(perturbation(result)) == ["CD74 (via IRF1)", "B2M", "GBP1"]
    assert names(perturbation(result, n=1)) == ["CD74 (via IRF1)"]


def test_points_and_lines_are_change_and_interval(result: Perturbation) -> None:
    ax = perturbation(result)
    lines = next(each for each in ax.collections if hasattr(each, "get_segments"))
    np.testing.assert_allclose([part[:, 0] for part in lines.get_segments()], [[-0.6, -0.4], [0.2, 0.4], [0.1, 0.3]])
    direct, indirect = (each for each in ax.collections if each is not lines)
    np.testing.assert_allclose(direct.get_offsets(), [[0.3, 1], [0.2, 2]])
    np.testing.assert_allclose(indirect.get_offsets(), [[-0.5, 0]])
    assert (direct.get_facecolor()[:, :3] == direct.get_edgecolor()[:, :3]).all()
    assert (indirect.get_facecolor()[:, :3] == 1).all()


def test_title_says_what_was_done_where_and_the_axis_that_it_is_predicted(result: Perturbation) -> None:
    ax = perturbation(result, ax=plt.subplots()[1])
    assert ax.get_title() == "STAT1 set to 0, monocytes"
    assert ax.get_xlabel() == "predicted change of log expression"
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["reached directly", "by way of another regulator"]


def test_nothing_to_draw_is_an_error(result: Perturbation) -> None:
    result.effects["reach"] = "none"
    with pytest.raises(ValueError, match="Found no gene to draw in Perturbation"):
        perturbation(result)


def test_drawing_without_matplotlib_names_the_extra(result: Perturbation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError, match=r"scdual\[plots\]"):
        perturbation(result)
