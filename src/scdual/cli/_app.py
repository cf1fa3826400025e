"""Put the commands together. Heavy packages are imported inside them, so that ``scdual --help`` is quick."""

from importlib.metadata import version
from typing import Annotated

import typer

from scdual.cli._compare import compare
from scdual.cli._demo import demo
from scdual.cli._edges import edges
from scdual.cli._errors import one_line_errors
from scdual.cli._fit import fit
from scdual.cli._info import info
from scdual.cli._merge import merge
from scdual.cli._perturb import perturb
from scdual.cli._report import report

app = typer.Typer(
    name="scdual",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (demo, fit, merge, edges, compare, perturb, report, info):
    app.command()(one_line_errors(command))


def _show_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"scdual {version('scdual')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Cell states and signed gene regulation from single-cell counts."""
