"""``scdual perturb``: what knocking out or over-expressing regulators is predicted to change."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scdual.cli._errors import tell_if_interrupted
from scdual.cli._terminal import visible

if TYPE_CHECKING:
    from scdual.model import Perturbation


def perturb(
    model_dir: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL", help="Folder of a model saved by `scdual fit --model-dir`.", show_default=False
        ),
    ],
    path: Annotated[
        Path,
        typer.Argument(metavar="CELLS.h5ad", help="Unperturbed cells with the genes of the model.", show_default=False),
    ],
    gene: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=VALUE",
            help="What is done to a gene: STAT1=0 knocks it out, GATA1=2x doubles it. Repeat it for several at once.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="CSV", help="Table to write; without it, to the screen.")
    ] = None,
    top: Annotated[int | None, typer.Option(min=1, help="Only this many genes; without it, all.")] = None,
    group: Annotated[str | None, typer.Option(help="Group of cells; without it, all cells.")] = None,
    groupby: Annotated[
        str | None, typer.Option(help="Column of obs with the group; without it, that of --labels-key of the model.")
    ] = None,
    rounds: Annotated[
        int, typer.Option(min=0, help="Rounds by way of other regulators; 0 for direct targets only.")
    ] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the maps drawn for the intervals.")] = 0,
) -> None:
    """Predict what perturbing regulators changes, as CSV, the largest change first. It is a hypothesis, not an outcome."""
    genes = _genes(gene)
    from scdual.cli._files import check_apart, check_h5ad, check_output, read_counts

    check_h5ad(path)
    if out is not None:
        check_output(out)
        check_apart({"--out": out}, {"CELLS.h5ad": path})
    from scdual.cli._model_genes import with_genes_of_model
    from scdual.cli._training import start
    from scdual.model import SCDual

    start(seed)
    adata = read_counts(path)
    if groupby is not None and groupby not in adata.obs:
        msg = f"--groupby is {groupby!r}, but the columns of obs of {path} are {list(adata.obs)}. Choose one of these."
        raise KeyError(msg)
    model = SCDual.load(str(model_dir), adata=with_genes_of_model(adata, model_dir))
    found = model.perturb(genes, group=group, groupby=groupby, rounds=rounds, shift=False)
    _write(found, out, top)


def _genes(given: list[str]) -> dict[str, float | str]:
    """Return what is done to each gene.

    Raises
    ------
    ValueError
        If an option is no name and value with an equals sign between them, or a gene is named twice.
    """
    genes: dict[str, float | str] = {}
    for text in given:
        name, equals, value = text.rpartition("=")
        if not (equals and name and value):
            msg = f"--gene is {text!r}, expected NAME=VALUE, such as STAT1=0 or GATA1=2x. Write it so."
            raise ValueError(msg)
        if name in genes:
            msg = f"--gene names {name!r} twice, expected each gene once. Keep one of them."
            raise ValueError(msg)
        try:
            number = float(value)
        except ValueError:
            genes[name] = value
        else:
            genes[name] = int(number) if number.is_integer() else number
    return genes


def _write(found: "Perturbation", out: Path | None, top: int | None) -> None:
    from scdual._spreadsheet import to_csv
    from scdual._writing import write_file
    from scdual.cli._edges import show

    frame = found.to_frame(top)
    if out is None:
        show(to_csv(frame) or "")
        return
    with tell_if_interrupted(f"{out} is as it was"), write_file(out) as part:
        to_csv(frame, part)
    typer.echo(visible(f"{len(frame):,} genes written to {out}; {found!r}"), err=True)
