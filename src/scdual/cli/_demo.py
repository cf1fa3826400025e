"""``scdual demo``: the whole way on real blood cells, from counts to clusters and a network."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from scdual._constants import RESULT_KEYS
from scdual.cli._errors import tell_if_interrupted
from scdual.cli._terminal import visible

if TYPE_CHECKING:
    from anndata import AnnData
    from rich.table import Table

    from scdual.cli._clusters import Agreement
    from scdual.grn import RegulatoryNetwork
    from scdual.model import SCDual

_LABELS_KEY = "bulk_labels"
_N_EDGES = 5
_EQUAL = 0.02  # scores of one method that differ by no more than other seeds do: three gave NMI 0.666 to 0.681
_FILES = ("pbmc68k.h5ad", "edges.csv", "umap.png", "loss.png", "heatmap.png", "network.png")


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Directory to write.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    max_epochs: Annotated[int | None, typer.Option(min=1, help="Epochs; without it, chosen from the data.")] = None,
) -> None:
    """Train on 700 real blood cells and write an .h5ad, the edges and four pictures."""
    _prepare(out)
    from rich.console import Console

    from scdual._writing import lock
    from scdual.cli._clusters import add_clusters, best_agreement, pca
    from scdual.cli._training import start, train
    from scdual.datasets import pbmc68k

    progress = Console(stderr=True)
    with lock(out), tell_if_interrupted(f"{out} is as it was"):
        start(seed)
        adata = pbmc68k()
        progress.print(f"1/3 Training on {adata.n_obs} blood cells and {adata.n_vars} genes")
        model = _new_model(adata)
        seconds = train(model, max_epochs=max_epochs)
        progress.print("2/3 Reading out the network and clustering the cells")
        model.annotate()
        network = model.get_regulation()
        add_clusters(adata, RESULT_KEYS.LATENT, seed=seed)
        labels = adata.obs[_LABELS_KEY]
        scores = {
            "SCDual": best_agreement(adata.obsm[RESULT_KEYS.LATENT], labels, seed=seed),
            "PCA": best_agreement(pca(adata, seed=seed), labels, seed=seed),
        }
        progress.print(f"3/3 Writing {len(_FILES)} files")
        _write(model, network, out)
    Console().print(_table(adata, network, scores=scores, seconds=seconds))
    typer.echo(visible(f"Written to {out}: {', '.join(_FILES)}"), err=True)


def _write(model: "SCDual", network: "RegulatoryNetwork", out: Path) -> None:
    """Write all files of the demo, or none."""
    from scdual._spreadsheet import to_csv
    from scdual._writing import write_folder
    from scdual.cli._files import write_h5ad
    from scdual.cli._pictures import save_pictures

    with write_folder(out, overwrite=True) as folder:
        write_h5ad(model.adata, folder / "pbmc68k.h5ad")
        to_csv(network.to_frame(), folder / "edges.csv")
        save_pictures(model.adata, network, history=model.history, labels_key=_LABELS_KEY, folder=folder)


def _prepare(out: Path) -> None:
    """Look for the optional packages and for a place to write, before any work."""
    from scdual._installed import check_installed
    from scdual.cli._files import check_folder

    check_installed("igraph", "matplotlib", "networkx", extra="demo")
    out.parent.mkdir(parents=True, exist_ok=True)
    check_folder(out, option="--out")
    _check_earlier(out)


def _check_earlier(out: Path) -> None:
    """Raise ``ValueError`` if files would be written over that no earlier demo left: a demo leaves all of its files."""
    from scdual._writing import finish_folder

    finish_folder(out)
    found = [name for name in _FILES if os.path.lexists(out / name)]
    if found and not all((out / name).is_file() for name in _FILES):
        msg = (
            f"{out} holds {found} from elsewhere, for an earlier demo would have left the files {list(_FILES)}; nothing was "
            "changed. Choose another name for --out."
        )
        raise ValueError(msg)


def _new_model(adata: "AnnData") -> "SCDual":
    from scdual.model import SCDual

    SCDual.setup_anndata(adata)
    return SCDual(adata)


def _table(
    adata: "AnnData", network: "RegulatoryNetwork", *, scores: "dict[str, Agreement]", seconds: float
) -> "Table":
    """Return the results as one table; the first row of each section is its heading."""
    from rich.table import Table

    from scdual.cli._clusters import RESOLUTIONS

    note = (
        f"Agreement of Leiden clusters with {_LABELS_KEY}: for each score the best of {len(RESOLUTIONS)} resolutions "
        f"({RESOLUTIONS[0]} to {RESOLUTIONS[-1]}), for both methods alike; equal means within {_EQUAL}, as seeds are. "
        "-> activates, -| represses, -- either way round, for of two regulators nobody knows which acts; in brackets the "
        "support, which is the probability that this sign is right."
    )
    table = Table(title="scdual demo", caption=note, caption_justify="left", show_header=False)
    table.add_row("cells", f"{adata.n_obs:,}")
    table.add_row("genes", f"{adata.n_vars:,}")
    table.add_row("regulators", f"{adata.var[RESULT_KEYS.REGULATOR].sum():,}")
    table.add_row("training", f"{seconds:.0f} s", end_section=True)
    table.add_row("agreement", *scores, style="bold")
    for name in ("NMI", "ARI"):
        table.add_row(
            name, *_compared([getattr(score, name.lower()) for score in scores.values()]), end_section=name == "ARI"
        )
    table.add_row("strongest edges", "activating (support)", "repressing (support)", style="bold")
    columns = [_strongest(network, 1), _strongest(network, -1)]
    for rank, (activating, repressing) in enumerate(zip(*columns, strict=True), start=1):
        table.add_row(str(rank), activating, repressing)
    return table


def _compared(scores: list[float]) -> list[str]:
    """Return scores as text; those after the first say so where they are equal to it."""
    first, *others = (round(score, 3) for score in scores)
    return [
        f"{first:.3f}",
        *(f"{score:.3f}{' (equal)' * (round(abs(score - first), 3) <= _EQUAL)}" for score in others),
    ]


def _strongest(network: "RegulatoryNetwork", sign: Literal[1, -1]) -> list[str]:
    """Return the strongest edges of one sign as text, one line for two back and forth, filled up with empty lines."""
    from scdual.grn._mutual import one_line_per_mutual_pair

    frame = one_line_per_mutual_pair(network.top(2 * _N_EDGES, sign=sign).to_frame())[:_N_EDGES]
    end = "->" if sign > 0 else "-|"
    columns = (frame[name] for name in ("source", "target", "weight", "support", "is_mutual"))
    lines = [
        f"{weight:+.2f} {source} {'--' if is_mutual else end} {target} ({support:.2f})"
        for source, target, weight, support, is_mutual in zip(*columns, strict=True)
    ]
    return lines + [""] * (_N_EDGES - len(lines))
