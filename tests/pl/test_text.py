"""Every picture shows names as they are, and nothing of it is cut, however long the names are."""

import itertools
import re
from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.text import Text

from scdual import pl
from scdual.grn import ConditionComparison, EdgeEvidence, RegulatoryNetwork
from scdual.model import Perturbation

REGULATORS = [f"ENSG0000010{i:04d}.14_of the $re${i}" for i in range(3)]
TARGETS = [f"RP11-1143G9.{i} a $\\very$ long name" for i in range(4)]
GROUP = r"CD14+ $\monocytes$ | of the control condition, all donors but the one that was sequenced later"
UNIT = {"condition": ["ctrl $^$", GROUP], "donor": [None] * 2, "n_cells": [50] * 2}


def network(seed: int) -> RegulatoryNetwork:
    weight = np.random.default_rng(seed).normal(size=(3, 4))
    evidence = EdgeEvidence(np.full((3, 4), 0.01), np.ones((3, 4)))
    return RegulatoryNetwork(weight, REGULATORS, TARGETS, f"{GROUP} {seed}", evidence)


def comparison() -> ConditionComparison:
    tests = {"se": 0.1, "p_value": 1e-6, "q_value": 1e-5}
    edges = pd.DataFrame(
        {"source": REGULATORS[:2], "target": TARGETS[:2], "difference": [0.5, -0.4], "z": 5.0, **tests}
    )
    regulators = pd.DataFrame({"regulator": REGULATORS[:2], "activity_difference": [0.5, -0.4], **tests})
    return ConditionComparison(edges, regulators, pd.DataFrame({"group": GROUP, **UNIT}), "ctrl $^$")


def prediction() -> Perturbation:
    effects = pd.DataFrame({"log_change": [-2.0, 0.3], "lower": [-2.1, 0.2], "upper": [-1.9, 0.4]}, index=TARGETS[:2])
    effects = effects.assign(reach=["direct", "indirect"], via=["", REGULATORS[1]])
    effects.loc[REGULATORS[0]] = [-1.0, -1.0, -1.0, "perturbed", ""]
    effects.loc[REGULATORS[1]] = [0.0, 0.0, 0.0, "none", ""]
    return Perturbation({REGULATORS[0]: "0.5x", REGULATORS[1]: 0}, GROUP, 40, 1, effects, effects)


def cells() -> AnnData:
    adata = AnnData(np.ones((4, 1)), obs=pd.DataFrame({"type": [GROUP, "B"] * 2}, index=list("abcd")))
    values = np.random.default_rng(0).normal(size=(4, 3))
    adata.obsm["scdual_activity"] = pd.DataFrame(values, index=adata.obs_names, columns=REGULATORS)
    return adata


PICTURES: dict[str, Callable[..., Axes]] = {
    "activity_dotplot": lambda **given: pl.activity_dotplot(cells(), "type", **given),
    "activity_heatmap": lambda **given: pl.activity_heatmap(cells(), "type", **given),
    "difference_network": lambda **given: pl.difference_network(comparison(), **given),
    "edge_volcano": lambda **given: pl.edge_volcano(comparison(), **given),
    "network_comparison": lambda **given: pl.network_comparison(network(0), network(1), **given),
    "network_graph": lambda **given: pl.network_graph(network(0), **given),
    "perturbation": lambda **given: pl.perturbation(prediction(), **given),
    "regulation_heatmap": lambda **given: pl.regulation_heatmap(network(0), **given),
    "regulator_ranking": lambda **given: pl.regulator_ranking(network(0), **given),
    "regulator_volcano": lambda **given: pl.regulator_volcano(comparison(), **given),
}


def texts(ax: Axes) -> list[Text]:
    figure = ax.get_figure(root=True)
    return [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]


def test_every_picture_of_networks_is_here() -> None:
    assert set(PICTURES) == set(pl.__all__) - {"training_curves"}


@pytest.mark.parametrize("name", PICTURES)
def test_nothing_is_cut(name: str) -> None:
    ax = PICTURES[name]()
    ax.figure.canvas.draw()
    whole = ax.figure.bbox.padded(1)
    for text in texts(ax):
        if re.fullmatch(r"[\N{MINUS SIGN}\d.]+", text.get_text()):
            continue  # a number beside an axis; those beyond its ends are hidden
        box = Text.get_window_extent(text)
        assert whole.x0 <= box.x0 <= box.x1 <= whole.x1, text
        assert whole.y0 <= box.y0 <= box.y1 <= whole.y1, text


@pytest.mark.parametrize("name", ["difference_network", "network_graph"])
def test_boxes_of_names_are_apart(name: str) -> None:
    ax = PICTURES[name]()
    ax.figure.canvas.draw()
    boxes = [text.get_bbox_patch().get_window_extent() for text in ax.texts]
    assert len(boxes) > 3
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


@pytest.mark.parametrize("name", PICTURES)
def test_legends_of_other_packages_do_not_move_anything(name: str) -> None:
    """Importing decoupler changes these defaults for the whole process."""
    changed = {
        "legend.borderaxespad": 2,
        "legend.borderpad": 0,
        "legend.columnspacing": 1,
        "legend.fontsize": 10,
        "legend.frameon": True,
        "legend.handleheight": 1,
        "legend.handlelength": 1,
        "legend.handletextpad": 0.5,
        "legend.labelspacing": 1,
        "legend.title_fontsize": 14,
    }
    as_it_is = places(PICTURES[name]())
    with plt.rc_context(changed):
        elsewhere = places(PICTURES[name]())
    assert len(as_it_is) > 3
    np.testing.assert_allclose(elsewhere, as_it_is, atol=1e-6)


def places(ax: Axes) -> list[tuple[float, ...]]:
    ax.figure.canvas.draw()
    legend = ax.get_legend()
    frame = [] if legend is None else [legend.get_window_extent().extents]
    return [tuple(box) for box in frame + [Text.get_window_extent(text).extents for text in texts(ax)]]


@pytest.mark.parametrize("name", PICTURES)
def test_a_dollar_is_a_dollar(name: str) -> None:
    ax = PICTURES[name](ax=plt.figure().add_subplot())
    shown = [text for text in texts(ax) if "$" in text.get_text()]
    assert shown
    assert not any(text.get_parse_math() for text in shown)


SYMBOLS = {gene: f"S{i}" for i, gene in enumerate([*REGULATORS, *TARGETS])}


@pytest.mark.parametrize("name", PICTURES)
def test_symbols_stand_in_place_of_ids(name: str) -> None:
    ax = PICTURES[name](gene_symbols=SYMBOLS)
    drawn = " ".join(text.get_text() for text in texts(ax))
    assert not any(gene in drawn for gene in SYMBOLS)
    assert "S0" in drawn
    with pytest.raises(ValueError, match="has a symbol for none of the"):
        PICTURES[name](gene_symbols={"other": "name"})


def test_activities_take_symbols_from_a_column_and_regulators_by_either_name() -> None:
    adata = cells()
    adata = AnnData(np.ones((4, 3)), obs=adata.obs, obsm=dict(adata.obsm), var=pd.DataFrame(index=REGULATORS))
    adata.var["symbol"] = ["A", "A", "C"]
    ax = pl.activity_heatmap(adata, "type", ["C", REGULATORS[0]], gene_symbols="symbol")
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["C", f"A ({REGULATORS[0]})"]
