"""``scdual report``: what is in an annotated file as one page that opens without a network."""

from pathlib import Path
from typing import Annotated

import typer

from scdual.cli._errors import tell_if_interrupted
from scdual.cli._terminal import visible


def report(
    path: Annotated[Path, typer.Argument(metavar="OUT.h5ad", help="File written by `scdual fit`.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="HTML", help="Page to write.", show_default=False)],
    color: Annotated[
        list[str] | None,
        typer.Option(help="Column of obs to colour cells by, besides groups and batches; may be repeated."),
    ] = None,
) -> None:
    """Write one self-contained page: cells, losses, regulators with their evidence, activities, network, parameters."""
    _check_files(path, out)
    from scdual._writing import lock, write_file
    from scdual.cli._files import read_counts
    from scdual.cli.report import new_report, render

    with lock(out), tell_if_interrupted(f"{out} is as it was"):
        page = render(new_report(read_counts(path), path, color or []))
        with write_file(out) as part:
            part.write_text(page, encoding="utf-8")
    typer.echo(visible(f"Written to {out}; open it in any browser"), err=True)


def _check_files(path: Path, out: Path) -> None:
    """Raise an error before any work."""
    from scdual._installed import check_installed
    from scdual.cli._files import check_apart, check_h5ad, check_output, check_suffix

    check_installed("matplotlib")
    check_h5ad(path)
    check_suffix(out, ".html")
    check_output(out)
    check_apart({"--out": out}, {"OUT.h5ad": path})
