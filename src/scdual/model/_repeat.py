"""Repeat a recorded run."""

from collections.abc import Mapping
from json import JSONDecodeError
from os import PathLike
from typing import Any, Self

from anndata import AnnData
from mudata import MuData

from scdual._checks import check_type
from scdual._warning import warn
from scdual.model._inherited import InheritedMixin
from scdual.model._record import RUN_KEY, Record, Step, chance_of, data_hash, versions
from scdual.model._saved_model import read_saved

_SETUP_METHODS, _TRAININGS = ("setup_anndata", "setup_mudata"), ("train", "train_map", "train_ensemble")


class RepeatMixin(InheritedMixin):
    """The method of SCDual that repeats a run."""

    record_: Record | None

    @classmethod
    def repeat(
        cls, adata: AnnData | MuData, source: str | PathLike[str] | Mapping[str, Any], *, prior: Any = None
    ) -> Self:
        """Return a model that is set up, built and trained as a recorded one was.

        On the same machine, with the same versions of all packages, it has the same weights, bit by bit.

        Parameters
        ----------
        adata
            The data of the run; they are registered as they were then.
        source
            Folder of the saved model, or ``uns["scdual"]`` of annotated data.
        prior
            The prior of the run. A folder holds it; ``uns`` holds only its hash.

        Raises
        ------
        ValueError
            If data or prior are others, or the run cannot be repeated from its record, which says why.

        Warns
        -----
        UserWarning
            If versions or the device differ from those of the run.
        """
        record, saved_prior = _read(source)
        _check_repeatable(record, prior if saved_prior is None else saved_prior)
        _warn_versions(record)
        getattr(cls, record.setup["method"])(adata, **record.setup["arguments"])
        build, *trainings = record.steps
        _check_data(data_hash(cls._get_most_recent_anndata_manager(adata)), build)
        with chance_of(build):
            model = cls(adata, prior=prior if saved_prior is None else saved_prior, **build.arguments)
        if model.record_ is None or model.record_.prior != record.prior:
            msg = "The prior is not that of the run; pass the one it had, or none if it had none."
            raise ValueError(msg)
        for step in trainings:
            with chance_of(step):
                getattr(model, step.name)(**step.arguments)
        if str(model.device) != record.steps[-1].device:
            _warn(f"The run was trained on {record.steps[-1].device} and is repeated on {model.device}")
        return model


def _read(source: str | PathLike[str] | Mapping[str, Any]) -> tuple[Record, Any]:
    """Return the record, and the prior if the source holds it."""
    if isinstance(source, Mapping):
        try:
            return Record.from_uns(source), None
        except (KeyError, TypeError, AttributeError, JSONDecodeError) as error:
            msg = f"`source` holds a {RUN_KEY!r} that scdual cannot have written ({error!r}); pass `adata.uns['scdual']` as it was, or the folder of the saved model."
            raise ValueError(msg) from error
    check_type("source", source, str, PathLike, Mapping)
    saved = read_saved(source, with_weights=False)
    record = saved.attributes["record_"]
    if record is None:
        msg = f"{saved.folder} holds no record of the run, because the model was made by scvi-tools or an early copy of scdual; train it again."
        raise ValueError(msg)
    return record, saved.attributes["init_params_"]["non_kwargs"].get("prior")


def _check_repeatable(record: Record, prior: Any) -> None:
    """Raise an error that says why a run cannot be repeated, if it cannot."""
    reason = _obstacle(record)
    if reason is None and record.prior is not None and prior is None:
        reason = "it had a prior, of which this source holds only the hash; pass it as `prior`"
    if reason is not None:
        msg = f"The run cannot be repeated: {reason}."
        raise ValueError(msg)


def _obstacle(record: Record) -> str | None:
    if record.setup["method"] not in _SETUP_METHODS:
        return f"its data were registered with `{record.setup['method']}`; repeat it by hand"
    if not record.begins:
        first = record.steps[0].name if record.steps else "nothing"
        return f"its record begins with `{first}`, not with the construction; repeat what came before by hand"
    for step in record.steps[1:]:
        reason = _obstacle_in(step)
        if reason is not None:
            return reason
        if step.data != record.steps[0].data:
            return "it was trained on other data later; repeat it by hand"
    return None


def _obstacle_in(step: Step) -> str | None:
    if step.name not in _TRAININGS:
        return f"it went on with `{step.name}`; repeat it by hand"
    if step.lost:
        return f"the arguments {step.lost} of `{step.name}` are no plain values; repeat it by hand and pass them"
    if step.arguments.get("ckpt_path") is not None:
        return "it went on from a checkpoint, which is not recorded; repeat it by hand"
    if step.seed is None:
        return (
            "it was trained without a seed, so cells were split at random; set `scvi.settings.seed` before the next run"
        )
    if step.stopped is not None:
        return f"its training was stopped by {step.stopped}; repeat it by hand with fewer epochs"
    return None


def _check_data(found: dict[str, str] | None, build: Step) -> None:
    expected = build.data or {}
    wrong = [name for name, value in (found or {}).items() if value != expected.get(name)]
    if wrong:
        msg = (
            f"The {' and '.join(wrong)} of the data are not those of the run; pass the data as they were then, with the "
            "same genes in the same order, in memory or on disk."
        )
        raise ValueError(msg)


def _warn_versions(record: Record) -> None:
    then, now = record.steps[-1].versions, versions()
    differ = [f"{name} {then.get(name)} (now {now[name]})" for name in now if then.get(name) != now[name]]
    if differ:
        _warn(f"The run was made with {', '.join(differ)}")


def _warn(what: str) -> None:
    warn(f"{what}, so weights may differ.")
