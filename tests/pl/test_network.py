"""The graph shows the strongest edges, tells signs apart without colour, and is the same every time."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.patches import ArrowStyle, FancyArrowPatch
from matplotlib.path import Path

from scdual.grn import EdgeEvidence, RegulatoryNetwork, from_frame
from scdual.pl import network_graph, regulation_heatmap, regulator_ranking
from scdual.pl._colours import ACTIVATION_COLOUR, REPRESSION_COLOUR


@pytest.fixture
def network() -> RegulatoryNetwork:
    rng = np.random.default_rng(1)
    weight = rng.normal(size=(6, 30))
    weight[rng.random(weight.shape) < 0.5] = 0
    return RegulatoryNetwork(weight, pd.Index([f"REG{i}" for i in range(6)]), pd.Index([f"GENE{i}" for i in range(30)]))


def arrows(ax: Axes) -> list[FancyArrowPatch]:
    return [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]


def gene_names(ax: Axes) -> set[str]:
    return {text.get_text() for text in ax.texts}


def curve(arrow: FancyArrowPatch) -> Path:
    """Return the line of an arrow without its end, in pixels."""
    path = arrow.get_transform().transform_path(arrow.get_path())
    return Path(path.vertices[:3], path.codes[:3])


def assert_boxes_apart(ax: Axes) -> None:
    ax.figure.canvas.draw()
    boxes = [text.get_bbox_patch().get_window_extent() for text in ax.texts]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def picture(ax: Axes) -> tuple[list[tuple[str, tuple[float, float]]], list[str]]:
    """Return where the names stand and how the lines run."""
    names = [(text.get_text(), text.get_position()) for text in ax.texts]
    return names, [f"{arrow._posA_posB} {arrow.get_connectionstyle().rad}" for arrow in arrows(ax)]


def test_draws_the_strongest_edges_and_only_their_genes(network: RegulatoryNetwork) -> None:
    ax = network_graph(network, top=12)
    edges = network.to_frame(12)
    assert len(arrows(ax)) == 12
    assert gene_names(ax) == set(edges["source"]) | set(edges["target"])


def test_evidence_does_not_change_the_picture(network: RegulatoryNetwork) -> None:
    sure = replace(network, evidence=EdgeEvidence(*np.ones((3, *network.weight.shape))))
    plain, drawn = (network_graph(each, top=12) for each in (network, sure))
    assert len(arrows(drawn)) == len(arrows(plain)) == 12
    assert [text.get_position() for text in drawn.texts] == [text.get_position() for text in plain.texts]


def test_regulators_limit_the_sources(network: RegulatoryNetwork) -> None:
    ax = network_graph(network, top=5, regulators=["REG2", "REG4"])
    edges = network.subset(["REG2", "REG4"]).to_frame(5)
    assert len(arrows(ax)) == 5
    assert gene_names(ax) == set(edges["source"]) | set(edges["target"])


def test_fewer_edges_than_asked_for_are_all_drawn(network: RegulatoryNetwork) -> None:
    assert len(arrows(network_graph(network, top=10_000))) == network.n_edges


def test_signs_differ_in_colour_line_and_end() -> None:
    edges = pd.DataFrame({"source": ["A", "A"], "target": ["x", "y"], "weight": [1.0, -0.5]})
    activating, repressing = arrows(network_graph(from_frame(edges)))
    assert to_hex(activating.get_edgecolor()).upper() == ACTIVATION_COLOUR
    assert to_hex(repressing.get_edgecolor()).upper() == REPRESSION_COLOUR
    assert activating.get_linestyle() == "-"
    assert repressing.get_linestyle() != "-"
    assert type(activating.get_arrowstyle()) is not type(repressing.get_arrowstyle())
    assert activating.get_linewidth() > repressing.get_linewidth()  # the stronger edge


def test_legend_explains_both_signs(network: RegulatoryNetwork) -> None:
    legend = network_graph(network).get_legend()
    labels = " ".join(text.get_text() for text in legend.get_texts())
    assert "activates" in labels
    assert "represses" in labels


def test_boxes_of_names_do_not_overlap(network: RegulatoryNetwork) -> None:
    assert_boxes_apart(network_graph(network, top=40))


def test_hub_with_many_targets_is_readable() -> None:
    edges = pd.DataFrame({"source": "HUB1", "target": [f"HLA-DRB{i}" for i in range(35)], "weight": 1.0})
    assert_boxes_apart(network_graph(from_frame(edges)))


def test_small_network_with_the_longest_legend_is_readable() -> None:
    edges = pd.DataFrame({"source": ["A", "B"], "target": ["B", "A"], "weight": [1.0, 0.9]})
    ax = network_graph(from_frame(edges))
    assert_boxes_apart(ax)
    legend = ax.get_legend().get_window_extent()
    assert ax.figure.bbox.x0 <= legend.x0
    assert legend.x1 <= ax.figure.bbox.x1


@pytest.mark.parametrize("top", [20, 60])
def test_no_line_runs_behind_the_box_of_another_gene(network: RegulatoryNetwork, top: int) -> None:
    ax = network_graph(network, top=top)
    ax.figure.canvas.draw()
    boxes = {text.get_text(): text.get_bbox_patch().get_window_extent() for text in ax.texts}
    for edge, arrow in zip(network.to_frame(top).itertuples(), arrows(ax), strict=True):
        line = curve(arrow)
        met = {gene for gene, box in boxes.items() if line.intersects_bbox(box, filled=False)}
        assert met <= {edge.source, edge.target}


def test_lines_end_at_their_genes(network: RegulatoryNetwork) -> None:
    ax = network_graph(network, top=20)
    ax.figure.canvas.draw()
    boxes = {text.get_text(): text.get_bbox_patch().get_window_extent() for text in ax.texts}
    for edge, arrow in zip(network.to_frame(20).itertuples(), arrows(ax), strict=True):
        for gene, end in zip((edge.source, edge.target), curve(arrow).vertices[[0, -1]], strict=True):
            assert boxes[gene].padded(ax.figure.dpi / 10).contains(*end)


def test_order_of_genes_and_time_of_drawing_do_not_change_the_picture(network: RegulatoryNetwork) -> None:
    turned = network.subset(network.regulators[::-1], network.targets[[*range(7, 30), *range(7)]])
    first, again, other = (picture(network_graph(each, top=50)) for each in (network, network, turned))
    assert first == again == other


def test_edges_of_both_signs_between_two_genes_are_bent_apart() -> None:
    edges = pd.DataFrame({"source": ["A", "B"], "target": ["B", "A"], "weight": [1.0, -1.0]})
    drawn = arrows(network_graph(from_frame(edges)))
    assert len(drawn) == 2
    assert all(arrow.get_connectionstyle().rad > 0 for arrow in drawn)  # each to its own right


@pytest.mark.parametrize("sign", [1, -1])
def test_edges_of_one_sign_between_two_genes_are_one_line_without_an_end(sign: int) -> None:
    weight = sign * np.array([0.8, 1.0, 0.6])
    edges = pd.DataFrame({"source": ["A", "B", "A"], "target": ["B", "A", "x"], "weight": weight})
    ax = network_graph(from_frame(edges))
    mutual, single = arrows(ax)
    assert type(mutual.get_arrowstyle()) is ArrowStyle.Curve  # a line and nothing else
    assert type(single.get_arrowstyle()) is not ArrowStyle.Curve
    assert mutual.get_linewidth() > single.get_linewidth()  # as wide as the stronger one
    assert to_hex(mutual.get_edgecolor()) == to_hex(single.get_edgecolor())
    dark = {text.get_text() for text in ax.texts if text.get_color() == "white"}
    assert dark == {"A", "B"}
    assert "direction unknown" in ax.get_legend().get_texts()[-1].get_text()


def test_legend_tells_of_lines_without_an_end_only_where_there_are_some() -> None:
    edges = pd.DataFrame({"source": ["A", "A"], "target": ["x", "y"], "weight": [1.0, -0.5]})
    assert len(network_graph(from_frame(edges)).get_legend().get_texts()) == 2


def test_name_with_dollar_signs_is_written_as_it_is() -> None:
    ax = network_graph(from_frame(pd.DataFrame({"source": ["A$x$"], "target": ["B"], "weight": [1.0]})))
    assert not any(text.get_parse_math() for text in ax.texts)


def test_title_names_the_group() -> None:
    network = RegulatoryNetwork(np.ones((1, 1)), pd.Index(["A"]), pd.Index(["x"]), group="NK")
    assert network_graph(network).get_title() == "Strongest edges in NK"


def test_draws_on_given_axes(network: RegulatoryNetwork) -> None:
    ax = plt.figure().add_subplot()
    assert network_graph(network, ax=ax) is ax


def test_no_edge_to_draw_is_an_error(network: RegulatoryNetwork) -> None:
    with pytest.raises(ValueError, match="`top` is 0, expected a whole number of at least 1"):
        network_graph(network, top=0)


def test_unknown_regulator_is_an_error(network: RegulatoryNetwork) -> None:
    with pytest.raises(ValueError, match=r"1 of 1 regulators are not in .* \['NOPE'\]"):
        network_graph(network, regulators=["NOPE"])


def test_a_model_in_place_of_its_network_is_one_sentence() -> None:
    for draw in (network_graph, regulator_ranking, regulation_heatmap):
        with pytest.raises(
            TypeError, match=r"`network` is a Figure, expected a RegulatoryNetwork\. Pass what `get_reg"
        ):
            draw(plt.figure())


def test_symbols_are_drawn_in_place_of_ids() -> None:
    network = RegulatoryNetwork(
        np.array([[0, 0.9, -0.5], [0.4, 0, 0.1]]), pd.Index(["E1", "E2"]), pd.Index(["E1", "E2", "E3"])
    )
    symbols = {"E1": "SPI1", "E2": "TBCE", "E3": "TBCE"}
    for regulators in (["E1"], ["SPI1"]):
        ax = network_graph(network, gene_symbols=symbols, regulators=regulators)
        assert {text.get_text() for text in ax.texts} == {"SPI1", "TBCE (E2)", "TBCE (E3)"}
        assert len(arrows(ax)) == 2
    ax = regulator_ranking(network, gene_symbols=symbols)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["SPI1", "TBCE (E2)"]
    ax = regulation_heatmap(network, gene_symbols=symbols)
    assert {label.get_text() for label in ax.get_xticklabels()} == {"SPI1", "TBCE (E2)", "TBCE (E3)"}
