"""``scdual compare``: what differs between two fitted files, or between the conditions of one."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scdual._constants import RESULT_KEYS
from scdual._warning import warn
from scdual.cli._edges import network_of, show
from scdual.cli._errors import tell_if_interrupted
from scdual.cli._terminal import visible

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from scdual.grn import ConditionComparison


def compare(  # noqa: PLR0913 - each is an option
    first: Annotated[
        Path, typer.Argument(metavar="OUT_A.h5ad", help="File written by `scdual fit`.", show_default=False)
    ],
    second: Annotated[
        Path | None,
        typer.Argument(metavar="OUT_B.h5ad", help="File to compare it with; without it, conditions of the first."),
    ] = None,
    condition_key: Annotated[str | None, typer.Option(help="Column of obs with conditions; needs --model-dir.")] = None,
    model_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Model of the file, from `scdual fit --model-dir`.")
    ] = None,
    labels_key: Annotated[str | None, typer.Option(help="Column of obs within whose labels to compare.")] = None,
    donor_key: Annotated[
        str | None, typer.Option(help="Column of obs with donors, which are then the unit of the tests.")
    ] = None,
    reference: Annotated[str | None, typer.Option(help="Condition that the others are compared with.")] = None,
    group: Annotated[str | None, typer.Option(help="Group of cells of both files; without it, all cells.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="CSV", help="Table of the edges.")] = None,
    regulators_out: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Table of the regulators; without any table, to the screen.")
    ] = None,
    top: Annotated[int | None, typer.Option(min=1, help="Only this many edges; without it, all.")] = None,
) -> None:
    """Write what differs, the surest first: edges between two files, or edges and regulators between conditions."""
    _check_options(second, condition_key, model_dir)
    by_condition = {
        "--labels-key": labels_key,
        "--donor-key": donor_key,
        "--reference": reference,
        "--regulators-out": regulators_out,
    }
    _check_meant(by_condition if second is not None else {"--group": group}, is_two_files=second is not None)
    _check_outputs({"--out": out, "--regulators-out": regulators_out}, {"OUT_A.h5ad": first, "OUT_B.h5ad": second})
    if second is not None:
        edges, regulators = _files(first, second, group), None
    else:
        found = _conditions(first, Path(str(model_dir)), str(condition_key), labels_key, donor_key, reference)
        edges, regulators = found.edges, found.regulators
        typer.echo(visible(found.notes[0]), err=True)  # the others came as warnings
    _write({out: edges[:top], regulators_out: regulators}, shown=edges[:top] if regulators is None else regulators)


def _check_options(second: Path | None, condition_key: str | None, model_dir: Path | None) -> None:
    """Raise ``ValueError`` unless two files, or the conditions of one, are asked for."""
    if (second is None) == (condition_key is None):
        found = "neither a second file nor --condition-key" if second is None else "a second file and --condition-key"
        msg = f"Found {found}, expected one of them. Name the files of two fits, or the conditions of one."
        raise ValueError(msg)
    if (condition_key is None) != (model_dir is None):
        msg = "--condition-key and --model-dir go together: conditions are compared by the model that `scdual fit --model-dir` saved. Give both."
        raise ValueError(msg)


def _check_meant(options: Mapping[str, object], *, is_two_files: bool) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        what = "two files" if is_two_files else "conditions"
        msg = f"{given[0]} has no meaning when {what} are compared. Leave it out."
        raise ValueError(msg)


def _check_outputs(outputs: dict[str, Path | None], inputs: dict[str, Path | None]) -> None:
    from scdual.cli._files import check_apart, check_output

    for path in outputs.values():
        if path is not None:
            check_output(path)
    check_apart(outputs, inputs)


def _files(first: Path, second: Path, group: str | None) -> "pd.DataFrame":
    from dataclasses import replace

    from scdual.cli._files import read_counts
    from scdual.tl import compare_networks

    files = [(path, read_counts(path, backed="r")) for path in (first, second)]
    networks = [replace(network_of(adata, path, group, with_support=False), group=path.stem) for path, adata in files]
    if len({_prior(adata) for _, adata in files}) > 1:
        warn(
            f"{first} and {second} were not fitted with the same prior, which multiplies weights, so edges differ by what it "
            "says, not by the cells alone. Fit both with the same --prior, or without."
        )
    return compare_networks(*networks)


def _prior(adata: "AnnData") -> str:
    """Return the hash of the prior that a file was fitted with, or ``none``."""
    about = adata.uns.get(RESULT_KEYS.PARAMETERS)
    return str(about.get("prior", "none")) if isinstance(about, Mapping) else "none"


def _conditions(
    path: Path,
    model_dir: Path,
    condition_key: str,
    labels_key: str | None,
    donor_key: str | None,
    reference: str | None,
) -> "ConditionComparison":
    from scdual.cli._files import read_counts
    from scdual.cli._model_genes import with_genes_of_model
    from scdual.model import SCDual

    adata = with_genes_of_model(read_counts(path), model_dir)
    model = SCDual.load(str(model_dir), adata=adata)
    return model.compare_conditions(condition_key, labels_key, donor_key, reference)


def _write(tables: "dict[Path | None, pd.DataFrame | None]", *, shown: "pd.DataFrame") -> None:
    """Write the tables that have a path, or show one if none has."""
    from scdual._spreadsheet import to_csv
    from scdual._writing import write_file

    files = {path: table for path, table in tables.items() if path is not None and table is not None}
    if not files:
        show(to_csv(shown) or "")
    for path, table in files.items():
        with tell_if_interrupted(f"{path} is as it was"), write_file(path) as part:
            to_csv(table, part)
        typer.echo(visible(f"{len(table):,} rows written to {path}"), err=True)
