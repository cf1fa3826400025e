"""``scdual fit``: train on a file of counts and write the same file with the results."""

import os
import re
import shlex
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scdual._constants import RESULT_KEYS
from scdual.cli._errors import tell_if_interrupted
from scdual.cli._terminal import visible

if TYPE_CHECKING:
    from anndata import AnnData

    from scdual.model import SCDual

_WORDS = {"auto": "auto", "human": "human", "mouse": "mouse", "none": None}


def fit(  # noqa: PLR0913 - each is one option
    path: Annotated[Path, typer.Argument(metavar="IN.h5ad", help="Counts of cells by genes.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="OUT.h5ad", help="File to write.", show_default=False)],
    layer: Annotated[str | None, typer.Option(help="Layer with the counts; without it, X.")] = None,
    batch_key: Annotated[str | None, typer.Option(help="Column of obs with the batch.")] = None,
    labels_key: Annotated[
        str | None, typer.Option(help="Column of obs with labels; gives one network per label too.")
    ] = None,
    regulators: Annotated[
        str,
        typer.Option(help="auto, human, mouse, none (every gene), a boolean column of var, or a file of gene names."),
    ] = "auto",
    prior: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="Known edges, CSV or TSV: source, target and, if known, weight or sign."),
    ] = None,
    n_top_genes: Annotated[
        int | None,
        typer.Option(
            min=1, help="Only the genes that vary most, and regulators; the others stay in raw. Without it, all."
        ),
    ] = None,
    min_cells: Annotated[
        int | None, typer.Option(min=0, help="Cells in which a regulator has to be expressed to have edges.")
    ] = None,
    ensemble: Annotated[
        int | None, typer.Option(min=2, metavar="N", help="Also learn from N random halves: evidence by resampling.")
    ] = None,
    map_only: Annotated[
        bool, typer.Option("--map-only", help="Learn the network alone, in seconds, without an embedding.")
    ] = False,
    max_epochs: Annotated[int | None, typer.Option(min=1, help="Epochs; without it, chosen from the data.")] = None,
    accelerator: Annotated[str, typer.Option(help="auto, cpu, gpu or mps.")] = "auto",
    model_dir: Annotated[Path | None, typer.Option(metavar="DIR", help="Save the model here too.")] = None,
    checkpoint_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep the state after each epoch here, and go on from it after a stop."),
    ] = None,
    require_counts: Annotated[bool, typer.Option(help="Refuse values that are no counts.")] = True,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
) -> None:
    """Train on counts and write cell states and the signed network beside them."""
    _check_map_only(map_only, max_epochs=max_epochs, checkpoint_dir=checkpoint_dir)
    _check_files(path, out, prior=prior, regulators=regulators, model_dir=model_dir, checkpoint_dir=checkpoint_dir)
    from scdual._writing import lock
    from scdual.cli._files import read_counts
    from scdual.cli._training import start, train
    from scdual.model import SCDual

    unchanged = f"{out} is as it was"
    checkpoint = None if checkpoint_dir is None else checkpoint_dir / f"seed_{seed}.ckpt"
    with ExitStack() as stack:
        for place in filter(None, (out, model_dir, checkpoint_dir)):
            stack.enter_context(lock(place))  # before the hours of training, not after
        stack.enter_context(tell_if_interrupted(unchanged))
        start(seed)
        adata = read_counts(path)
        _check_keys(adata, path, layer=layer, batch_key=batch_key, labels_key=labels_key)
        chosen = _regulators(regulators, adata)
        thresholds: dict[str, Any] = {} if min_cells is None else {"min_cells": min_cells}
        if n_top_genes is not None:
            _select(
                adata,
                n_top_genes,
                chosen,
                batch_key=batch_key,
                layer=layer,
                require_counts=require_counts,
                **thresholds,
            )
        SCDual.setup_anndata(
            adata, layer=layer, batch_key=batch_key, labels_key=labels_key, require_counts=require_counts
        )
        model = SCDual(adata, regulators=chosen, prior=prior, **thresholds)
        seconds = train(model, map_only=map_only, max_epochs=max_epochs, accelerator=accelerator, checkpoint=checkpoint)
        if ensemble is not None:
            model.train_ensemble(ensemble, accelerator=accelerator)
        write_results(model, out, model_dir, labels_key=labels_key)
        if checkpoint is not None:
            checkpoint.unlink(missing_ok=True)  # the next fit begins at the beginning
    _report(model, seconds, out=out, model_dir=model_dir)


def _select(adata: "AnnData", n_top_genes: int, regulators: str | list[str] | None, **options: Any) -> None:
    """Cut the data down to the genes that vary most and the regulators; what was there before stays in ``raw``."""
    from scdual.pp import select_genes

    if adata.raw is None and adata.X is not None:
        adata.raw = adata
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=".*no regulator is kept"
        )  # the model says it, and what it does instead
        select_genes(adata, n_top_genes, "regulators" if regulators == "auto" else regulators, subset=True, **options)


def write_results(model: "SCDual", out: Path, model_dir: Path | None, *, labels_key: str | None) -> None:
    """Save the model first, for the file can be made from it again; if it cannot be saved, the file is written all the same."""
    from scdual.cli._files import write_h5ad

    failed = None
    if model_dir is not None:
        try:
            model.save(str(model_dir), overwrite=True)
        except OSError as error:
            failed = error
    is_saved = model_dir is not None and failed is None
    with tell_if_interrupted(f"the model is in {model_dir}" if is_saved else "the model is not saved"):
        _annotate(model, labels_key)
        write_h5ad(model.adata, out)
    if failed is not None:
        msg = f"{failed} The results are in {out}."
        raise OSError(msg) from failed


def _annotate(model: "SCDual", labels_key: str | None) -> None:
    """Write the results into the data; if no label has a network, those of all cells are not lost."""
    from scdual._warning import warn

    try:
        model.annotate(groupby=labels_key)
    except ValueError as error:
        if labels_key is None:
            raise
        warn(f"There are no networks by label: {error}")
        model.annotate()


def _check_map_only(map_only: bool, **of_training: int | Path | None) -> None:
    """Raise ``ValueError`` for options of a training that there will not be."""
    given = [f"--{name.replace('_', '-')}" for name, value in of_training.items() if value is not None]
    if map_only and given:
        msg = f"--map-only and {given[0]} do not go together: the network alone is learnt without epochs. Leave out one of them."
        raise ValueError(msg)


def _check_files(
    path: Path,
    out: Path,
    *,
    prior: Path | None,
    regulators: str,
    model_dir: Path | None,
    checkpoint_dir: Path | None,
) -> None:
    """Raise an error before the hours of training, not after."""
    from scdual._saved import CONTENT, WEIGHTS, check_overwritten
    from scdual.cli._files import check_apart, check_folder, check_h5ad, check_output, check_suffix

    check_h5ad(path)
    check_suffix(out, ".h5ad")
    check_output(out)
    inputs = {
        "IN.h5ad": path,
        "--prior": prior,
        "--regulators": Path(regulators) if os.path.isfile(regulators) else None,
    }
    check_apart({"--out": out, "--model-dir": model_dir, "--checkpoint-dir": checkpoint_dir}, inputs)
    if prior is not None and not prior.is_file():
        msg = f"{prior} of --prior is no file, expected a CSV file. Check the path."
        raise FileNotFoundError(msg)
    if checkpoint_dir is not None:
        check_folder(checkpoint_dir, option="--checkpoint-dir")
    if model_dir is not None:
        check_folder(model_dir, option="--model-dir")
        check_overwritten(model_dir, [CONTENT, WEIGHTS])


def _check_keys(
    adata: "AnnData", path: Path, *, layer: str | None, batch_key: str | None, labels_key: str | None
) -> None:
    """Raise ``KeyError`` for a name that is not in the file."""
    options = {
        "--layer": (layer, "layers", [name for name in adata.layers if name is not None]),  # None is X in anndata 0.13
        "--batch-key": (batch_key, "columns of obs", list(adata.obs)),
        "--labels-key": (labels_key, "columns of obs", list(adata.obs)),
    }
    for option, (name, room, available) in options.items():
        if name is not None and name not in available:
            msg = f"{option} is {name!r}, but {path} has no {room}. Leave out {option}."
            if available:
                msg = f"{option} is {name!r}, but the {room} of {path} are {available}. Choose one of these."
            raise KeyError(msg)


def _regulators(text: str, adata: "AnnData") -> str | list[str] | None:
    """Return what the model takes as regulators: a word, a column of ``var``, or the names in a file."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if text in adata.var:
        return text
    if not os.path.isfile(text):
        if "," in text:
            msg = (
                f"--regulators is {text!r}, but names go one per line into a file. Write them there, and give its name."
            )
            raise ValueError(msg)
        msg = (
            f"--regulators is {text!r}, which is no file and none of the columns of var {list(adata.var)}; "
            f"expected one of {list(_WORDS)}, a boolean column of var, or a text file with one gene name per line."
        )
        raise ValueError(msg)
    try:
        lines = Path(text).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        msg = f"The file {text} of --regulators is no text in UTF-8, expected one gene name per line. Save it as plain text."
        raise ValueError(msg) from error
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        msg = f"The file {text} of --regulators is empty, expected one gene name per line. Add the names."
        raise ValueError(msg)
    row = next((name for name in names if re.search("[,;\t]", name) and name not in adata.var_names), None)
    if row is not None:
        msg = (
            f"The file {text} of --regulators looks like a table, for it holds {row!r}; expected one gene name per line. "
            "Give known edges to --prior, or keep one column of names."
        )
        raise ValueError(msg)
    return names


def _report(model: "SCDual", seconds: float, *, out: Path, model_dir: Path | None) -> None:
    from scdual.cli._tables import show_rows

    adata = model.adata
    epochs = "the network alone"
    if model.is_trained:
        n_epochs = model.trainer.current_epoch
        epochs = f"{n_epochs} epoch{'' if n_epochs == 1 else 's'}"
    rows = {
        "cells": adata.n_obs,
        "genes": adata.n_vars,
        "regulators": int(adata.var[RESULT_KEYS.REGULATOR].sum()),
        "edges": adata.varp[RESULT_KEYS.REGULATION].nnz,
        "training": f"{seconds:.0f} s, {epochs}",
        "file": str(out),
    }
    if model_dir is not None:
        rows["model"] = str(model_dir)
    show_rows("scdual fit", rows)
    show_next(model, out)


def show_next(model: "SCDual", out: Path) -> None:
    """Print the command that writes the edges, or say on stderr that there are none."""
    if model.adata.varp[RESULT_KEYS.REGULATION].nnz:
        typer.echo(visible(f"Next: scdual edges {shlex.quote(str(out))} -o edges.csv"))
        return
    msg = (
        "Warning: No edge stands out of its errors, so the network is empty. More cells or deeper counts help, or other "
        "genes in --regulators."
    )
    typer.secho(msg, fg="yellow", err=True)
