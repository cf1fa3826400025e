"""``scdual edges``: the network of an annotated file as a table."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scdual._checks import did_you_mean, listed
from scdual._constants import EVIDENCE_KEYS, RESULT_KEYS, evidence_key, group_of, regulation_key
from scdual._types import FORMAT_OF_SUFFIX
from scdual.cli._errors import tell_if_interrupted
from scdual.cli._terminal import visible

if TYPE_CHECKING:
    from anndata import AnnData

    from scdual.grn import RegulatoryNetwork


def edges(
    path: Annotated[Path, typer.Argument(metavar="OUT.h5ad", help="File written by `scdual fit`.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help=f"File to write: a table, or by its ending {', '.join(FORMAT_OF_SUFFIX)} (for geneRNIB); without it, a "
            "table to the screen.",
        ),
    ] = None,
    top: Annotated[int | None, typer.Option(min=1, help="Only this many edges; without it, all.")] = None,
    group: Annotated[str | None, typer.Option(help="Group of cells; without it, all cells.")] = None,
    min_support: Annotated[
        float | None, typer.Option(min=0, max=1, help="Only edges whose sign is right with at least this probability.")
    ] = None,
    gene_symbols: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column of var with symbols, where genes are ids.")
    ] = None,
) -> None:
    """Write the edges as CSV with the columns source, target, weight, sd and support, the strongest first."""
    from scdual._spreadsheet import to_csv
    from scdual.cli._files import check_apart, check_output, read_counts

    if out is not None:
        check_output(out)
        check_apart({"--out": out}, {"OUT.h5ad": path})
    adata = read_counts(path, backed="r")
    network = network_of(adata, path, group, with_support=min_support is not None)
    network = network if min_support is None else network.supported(min_support)
    network = network if top is None else network.top(top)
    if out is None:
        show(to_csv(network.to_frame(gene_symbols=gene_symbols)) or "")
        return
    with tell_if_interrupted(f"{out} is as it was"):
        _write(network, out, gene_symbols)
    typer.echo(visible(f"{network.n_edges:,} edges written to {out}"), err=True)


def _write(network: "RegulatoryNetwork", out: Path, gene_symbols: str | None) -> None:
    """Write the network in the format that the end of the file's name stands for; a table under any other name."""
    from scdual.grn import write_network

    chosen = FORMAT_OF_SUFFIX.get(out.suffix.lower(), "csv")
    write_network(network, out, format=chosen, gene_symbols=gene_symbols, dataset_id=out.stem)


def show(text: str) -> None:
    """Print a table; control characters are commands to a terminal, and plain text to another program."""
    if sys.stdout.isatty():
        text = "".join(f"{visible(line)}\n" for line in text.removesuffix("\n").split("\n"))
    sys.stdout.write(text)
    sys.stdout.flush()  # here, not at exit: a reader such as `head` may be gone


def network_of(adata: "AnnData", path: Path, group: str | None, *, with_support: bool) -> "RegulatoryNetwork":
    """Return the network of a group, or of all cells, with its evidence where that is in the file.

    Raises
    ------
    KeyError
        If the network is not there, or its support although that is needed.
    """
    from scdual.grn import from_varp

    key = _network_key(adata, path, group)
    keys = {name: evidence_key(key, name) for name in EVIDENCE_KEYS}
    lacking = [sister for sister in keys.values() if sister not in adata.varp]
    if with_support and lacking:
        msg = (
            f"{path} has no support of these edges: its varp lacks {lacking} beside {key!r}. "
            "Leave out --min-support, or write the results anew with `scdual fit` or `SCDual.annotate`."
        )
        raise KeyError(msg)
    if len(lacking) not in (0, len(keys)):
        msg = (
            f"Warning: {path} has lost part of the evidence of its edges, so none is shown: its varp lacks {lacking} beside "
            f"{key!r}. Copy the file again, or write the results anew."
        )
        typer.secho(visible(msg), fg="yellow", err=True)
    evidence = {} if lacking else {name: adata.varp[sister] for name, sister in keys.items()}
    return replace(from_varp(adata.varp[key], adata.var_names, group=group, **evidence), var=adata.var)


def _network_key(adata: "AnnData", path: Path, group: str | None) -> str:
    """Return the key in ``varp`` of the network of a group, or of all cells.

    Raises
    ------
    KeyError
        If it is not there; the message names the networks that are.
    """
    base = RESULT_KEYS.REGULATION
    key = base if group is None else regulation_key(group)
    if key in adata.varp:
        return key
    groups = [found for found in map(group_of, adata.varp) if found is not None]
    if base not in adata.varp and not groups:
        msg = (
            f"{path} has no varp[{base!r}]; its varp has {list(adata.varp)}. "
            f"Fit a model first: scdual fit {path} -o OUT.h5ad"
        )
        raise KeyError(msg)
    if group is None:
        msg = (
            f"{path} has no network of all cells; it has networks of the groups {listed(groups)}. Name one in the --group of "
            "`scdual edges` or `scdual compare`, or write the results anew with `scdual fit`."
        )
        raise KeyError(msg)
    advice = did_you_mean(group, groups)
    msg = (
        f"{path} has no network of the group {group!r}; it has networks of "
        f"{listed(groups) if groups else 'no groups, only of all cells'}. {advice}{' ' if advice else ''}"
        "Choose one of these, leave out --group, or fit with --labels-key to get one network per label."
    )
    raise KeyError(msg)
