"""``scdual merge``: put together the ensembles that several jobs have learnt."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scdual.cli._errors import tell_if_interrupted
from scdual.cli._fit import show_next, write_results

if TYPE_CHECKING:
    from scdual.model import SCDual


def merge(
    models: Annotated[
        list[Path],
        typer.Argument(
            metavar="MODEL MODEL...",
            help="Folders that `scdual fit --ensemble --model-dir` wrote, each with another --seed.",
            show_default=False,
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(
            "--data", metavar="CELLS.h5ad", help="Cells of the fits: their input, or their output.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="OUT.h5ad", help="File to write.", show_default=False)],
    model_dir: Annotated[Path | None, typer.Option(metavar="DIR", help="Save the merged model here too.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the halves of each label.")] = 0,
) -> None:
    """Write the first model's results with the evidence of all ensembles, as one process would have learnt them."""
    _check(models, data, out, model_dir)
    from scdual._writing import lock
    from scdual.cli._files import read_counts
    from scdual.cli._model_genes import with_genes_of_model
    from scdual.cli._training import start
    from scdual.model import SCDual

    with ExitStack() as stack:
        for place in filter(None, (out, model_dir)):
            stack.enter_context(lock(place))
        stack.enter_context(tell_if_interrupted(f"{out} is as it was"))
        start(seed)
        first, *others = models
        model = SCDual.load(str(first), adata=with_genes_of_model(read_counts(data), first))
        _check_cells(model, first, data)
        for other in others:
            _add(model, other)
        write_results(model, out, model_dir, labels_key=model.registry["setup_args"].get("labels_key"))
    _report(model, n_models=len(models), out=out, model_dir=model_dir)


def _check(models: Sequence[Path], data: Path, out: Path, model_dir: Path | None) -> None:
    """Raise an error before anything is read, unless there are several models, and places to write that are no inputs."""
    from scdual._saved import CONTENT, WEIGHTS, check_overwritten
    from scdual._saved import check_folder as check_model
    from scdual.cli._files import check_apart, check_folder, check_h5ad, check_output, check_suffix

    if len(models) < 2:
        msg = f"Found one model, {models[0]}, expected at least two to merge. Name the others too."
        raise ValueError(msg)
    for model in models:
        if model.suffix == ".h5ad" and model.is_file():
            msg = f"{model} is a file, expected a folder that `scdual fit --model-dir` wrote, for only models hold the members of an ensemble. Fit with --model-dir."
            raise ValueError(msg)
        check_model(model)
    check_h5ad(data)
    check_suffix(out, ".h5ad")
    check_output(out)
    check_apart(
        {"--out": out, "--model-dir": model_dir}, {"--data": data, **{f"--MODEL {path}": path for path in models}}
    )
    if model_dir is not None:
        check_folder(model_dir, option="--model-dir")
        check_overwritten(model_dir, [CONTENT, WEIGHTS])


def _check_cells(model: "SCDual", folder: Path, data: Path) -> None:
    """Raise ``ValueError`` unless the cells are those that the model was trained on."""
    from scdual.model._record import data_hash

    record = model.record_
    known = None if record is None else record.steps[-1].data
    if known is not None and known != data_hash(model.adata_manager):
        msg = f"{data} of --data holds other cells than those that {folder} was trained on. Give the input of its fit, or its output."
        raise ValueError(msg)


def _add(model: "SCDual", folder: Path) -> None:
    """Add the ensemble of the model in a folder; errors name the folder."""
    from scdual.model import SCDual

    try:
        model.merge_ensembles([SCDual.load(str(folder), adata=False, accelerator="cpu")])
    except ValueError as error:
        msg = str(error).replace("`others[0]`", str(folder)).replace("call `train_ensemble`", "fit with --ensemble")
        raise ValueError(msg) from error


def _report(model: "SCDual", *, n_models: int, out: Path, model_dir: Path | None) -> None:
    from scdual.cli._tables import show_rows

    rows = {"models": n_models, "members": len(model.ensemble_), "file": str(out)}
    if model_dir is not None:
        rows["model"] = str(model_dir)
    show_rows("scdual merge", rows)
    show_next(model, out)
