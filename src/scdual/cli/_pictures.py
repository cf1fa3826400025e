"""Save the pictures of the demo."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from scdual.grn import RegulatoryNetwork

_DPI = 150


def save_pictures(
    adata: "AnnData", network: "RegulatoryNetwork", *, history: "dict[str, pd.DataFrame]", labels_key: str, folder: Path
) -> None:
    """Write ``umap.png``, ``loss.png``, ``heatmap.png`` and ``network.png`` into the folder."""
    from scdual.pl import network_graph, regulation_heatmap, training_curves

    _save(umap_panels(adata, [labels_key, "leiden"]), folder / "umap.png")
    _save(training_curves(history)[0], folder / "loss.png")
    _save(regulation_heatmap(network), folder / "heatmap.png")
    _save(network_graph(network), folder / "network.png")


def umap_panels(adata: "AnnData", keys: list[str]) -> "Axes":
    """Return the first of one axes per column of ``obs``, with its cells in ``obsm["X_umap"]`` and the legend below."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(keys), figsize=(5.5 * len(keys), 6), layout="constrained", squeeze=False)
    for ax, key in zip(axes[0], keys, strict=True):
        _draw_cells(ax, adata, key)
    return axes[0, 0]


def _draw_cells(ax: "Axes", adata: "AnnData", key: str) -> None:
    from matplotlib import colormaps

    categories = adata.obs[key].cat.categories
    colours = colormaps["tab10" if len(categories) <= 10 else "tab20"]
    for number, category in enumerate(categories):
        xy = adata.obsm["X_umap"][(adata.obs[key] == category).to_numpy()]
        ax.scatter(xy[:, 0], xy[:, 1], s=10, linewidth=0, color=colours(number % colours.N), label=category)
    ax.set_title(key)
    ax.set(xticks=[], yticks=[], xlabel="UMAP 1", ylabel="UMAP 2")
    ax.spines[["top", "right"]].set_visible(False)
    n_columns = 2 if max(map(len, categories)) > 8 else 5
    ax.legend(
        frameon=False, ncols=n_columns, loc="upper center", bbox_to_anchor=(0.5, -0.06), markerscale=2.5, fontsize=9
    )


def _save(ax: "Axes", path: Path) -> None:
    import matplotlib.pyplot as plt

    figure = cast("Figure", ax.figure)
    figure.savefig(path, dpi=_DPI)
    plt.close(figure)
