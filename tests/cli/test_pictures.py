"""The pictures of the demo are files, and the UMAP shows every cell once per panel."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from matplotlib import pyplot as plt

from scdual.cli._pictures import save_pictures, umap_panels
from scdual.grn import RegulatoryNetwork


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.fixture
def adata() -> AnnData:
    rng = np.random.default_rng(0)
    obs = pd.DataFrame({"label": list("aabbcc"), "leiden": list("010101")}, index=list("uvwxyz")).astype("category")
    return AnnData(obs=obs, obsm={"X_umap": rng.normal(size=(6, 2))})


def test_umap_has_a_panel_per_column_with_each_cell_once(adata: AnnData) -> None:
    axes = umap_panels(adata, ["label", "leiden"]).figure.axes
    assert [ax.get_title() for ax in axes] == ["label", "leiden"]
    for ax, key in zip(axes, ["label", "leiden"], strict=True):
        assert [group.get_label() for group in ax.collections] == list(adata.obs[key].cat.categories)
        drawn = np.concatenate([group.get_offsets() for group in ax.collections])
        np.testing.assert_array_equal(np.sort(drawn, axis=0), np.sort(adata.obsm["X_umap"], axis=0))


def test_legends_lie_outside_all_panels(adata: AnnData) -> None:
    figure = umap_panels(adata, ["label", "leiden"]).figure
    figure.canvas.draw()
    panels = [ax.get_window_extent() for ax in figure.axes]
    for ax in figure.axes:
        assert not any(ax.get_legend().get_window_extent().overlaps(panel) for panel in panels)


def test_four_files_are_written_and_no_figure_stays_open(
    adata: AnnData, network: RegulatoryNetwork, tmp_path: Path
) -> None:
    history = {"train_loss": pd.DataFrame({"train_loss": [3.0, 2.0]})}
    save_pictures(adata, network, history=history, labels_key="label", folder=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["heatmap.png", "loss.png", "network.png", "umap.png"]
    assert plt.get_fignums() == []
