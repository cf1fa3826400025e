"""What has to be known to repeat a run: how the data were set up, the model built and trained, and the state of chance.

scvi-tools draws initial weights and minibatches from torch's global generator, wherever that stands, and splits the cells
by ``scvi.settings.seed``. A record therefore holds both, the generator's state as it was before each step, so that it
does not matter what ran between the seed and the model.
"""

import functools
import hashlib
import inspect
import platform
import re
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import Any, ParamSpec

import numpy as np
import pandas as pd
import torch
from scvi import REGISTRY_KEYS, settings
from scvi.data import AnnDataManager

from scdual._plain import encode, from_text, to_text
from scdual.data._fingerprint import fingerprint
from scdual.model._scvi import SETUP_ARGS_KEY, SETUP_METHOD_KEY, merge_kwargs

RUN_KEY = "run"  # in `uns["scdual"]`: the record as JSON, which is exact
_PACKAGES = ("scdual", "scvi-tools", "torch", "lightning", "anndata", "numpy")
P = ParamSpec("P")
_LOSS = re.compile(r"(^train_loss|^validation_loss|_train|_validation)$")  # the curves that scvi-tools logs per epoch
_COVARIATES = ("BATCH_KEY", "LABELS_KEY", "SIZE_FACTOR_KEY", "CAT_COVS_KEY", "CONT_COVS_KEY")


@dataclass(frozen=True)
class Step:
    """One step of a run: the construction of the model, a training, or another.

    Attributes
    ----------
    name
        ``"SCDual"`` for the construction, else the method.
    arguments
        What it was called with, defaults and what was chosen included.
    lost
        Names of arguments that are no plain values, such as callbacks; only their types are kept.
    seed
        ``scvi.settings.seed``; None if it was not set.
    generator
        State of torch's generator on the CPU before the step.
    data
        Hash of counts and gene names, and of the registered covariates; None without data.
    device, threads, versions
        Where and with what it ran.
    n_epochs
        Epochs that were trained.
    stopped
        Name of the exception that ended it early, None if nothing did.
    """

    name: str
    arguments: dict[str, Any]
    lost: list[str]
    seed: int | None
    generator: str
    data: dict[str, str] | None
    device: str
    threads: int
    versions: dict[str, str]
    n_epochs: int = 0
    stopped: str | None = None


@dataclass(frozen=True)
class Record:
    """A run.

    Attributes
    ----------
    setup
        Method and arguments by which the data were registered.
    prior
        Hash of the prior as the model sees it; None without one.
    steps
        Construction and trainings in their order. Of a model whose beginning is not known, only what came later.
    """

    setup: dict[str, Any]
    prior: str | None
    steps: tuple[Step, ...]

    @property
    def begins(self) -> bool:
        """Whether the construction of the model is known."""
        return bool(self.steps) and self.steps[0].name == "SCDual"

    def to_plain(self) -> dict[str, Any]:
        """Return the record as dicts and lists."""
        return asdict(self) | {"steps": [asdict(step) for step in self.steps]}

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> "Record":
        """Return the record that :meth:`to_plain` gave."""
        return cls(values["setup"], values["prior"], tuple(Step(**step) for step in values["steps"]))

    def to_uns(self) -> dict[str, str]:
        """Return the record as :meth:`from_uns` reads it."""
        return {RUN_KEY: to_text(self.to_plain())}

    @classmethod
    def from_uns(cls, parameters: Mapping[str, Any]) -> "Record":
        """Return the record in ``uns["scdual"]``.

        Raises
        ------
        ValueError
            If it holds none.
        """
        if RUN_KEY not in parameters:
            msg = (
                f'`uns["scdual"]` holds no {RUN_KEY!r}, expected what `model.annotate()` of scdual 0.2 or later writes.'
            )
            raise ValueError(msg)
        return cls.from_plain(from_text(str(parameters[RUN_KEY])))


def generator_state() -> str:
    """Return the state of torch's generator on the CPU as text."""
    return b64encode(zlib.compress(torch.get_rng_state().numpy().tobytes())).decode("ascii")


def set_generator_state(state: str) -> None:
    """Set torch's generator on the CPU to a recorded state."""
    torch.set_rng_state(torch.frombuffer(bytearray(zlib.decompress(b64decode(state))), dtype=torch.uint8))


def first_record(model: Any, generator: str) -> Record:
    """Return the record of a model that was just built.

    Parameters
    ----------
    model
        The model.
    generator
        State of torch's generator before.
    """
    given = model.init_params_
    arguments = {name: value for name, value in given["non_kwargs"].items() if name != "prior"}
    for group in given["kwargs"].values():
        arguments |= group
    setup = {
        "method": model.registry_.get(SETUP_METHOD_KEY, "setup_anndata"),
        "arguments": dict(model.registry_[SETUP_ARGS_KEY]),
    }
    prior = given["non_kwargs"].get("prior")
    return Record(
        setup,
        None if prior is None else prior_hash(prior),
        (_with_data(_step(model, "SCDual", arguments, generator), model),),
    )


def query_record(model: Any, reference_state: Mapping[str, torch.Tensor], arguments: dict[str, Any]) -> Record:
    """Return the record of a query model, which begins with its reference.

    Parameters
    ----------
    model
        Model of the query.
    reference_state
        Weights of the reference.
    arguments
        What :meth:`~scdual.model.SCDual.load_query_data` was called with.
    """
    digest = hashlib.sha256()
    for name in sorted(reference_state):
        digest.update(name.encode() + _bytes(reference_state[name]))
    begun = first_record(model, generator_state())
    step = _step(model, "load_query_data", arguments | {"reference_sha256": digest.hexdigest()}, generator_state())
    return replace(begun, steps=(_with_data(step, model),))


def recorded(train: Callable[P, None]) -> Callable[P, None]:
    """Return a method that trains and adds what it did to the record of its model.

    A call that ends with an exception is recorded only if it left other weights.
    """
    signature = inspect.signature(train)

    @functools.wraps(train)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            train(*args, **kwargs)  # says it with the name of the method
            raise
        bound.apply_defaults()
        model, *_ = bound.args
        step = _step(model, train.__name__, _flat_arguments(bound, signature), generator_state())
        n_epochs, weights, stopped = _n_epochs(model), _weights_hash(model), None
        model._step_now = step
        try:
            train(*args, **kwargs)
        except BaseException as error:
            stopped = type(error).__name__
            raise
        finally:
            del model._step_now
            if stopped is None or _weights_hash(model) != weights:
                _add(model, replace(step, n_epochs=_n_epochs(model) - n_epochs, stopped=stopped))

    return run


def add_step(model: Any, name: str, arguments: Mapping[str, Any]) -> None:
    """Add to the record of a model what was done to it, other than by training."""
    _add(model, _step(model, name, arguments, generator_state()))


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide about numbers."""
    found = {"python": platform.python_version(), **{package: version(package) for package in _PACKAGES}}
    return found | {"torch": str(torch.__version__)}  # which says for which hardware it was built


def prior_hash(prior: Mapping[str, Any]) -> str:
    """Return a hash of the edges of the prior that the model uses, a table by columns."""
    return hashlib.sha256(to_text(prior).encode()).hexdigest()


def data_hash(manager: AnnDataManager | None) -> dict[str, str] | None:
    """Return hashes of counts and gene names, and of the registered covariates; None without data."""
    if manager is None:
        return None
    digest = hashlib.sha256()
    for key in (getattr(REGISTRY_KEYS, name) for name in _COVARIATES):
        if key in manager.data_registry:
            digest.update(key.encode() + np.ascontiguousarray(manager.get_from_registry(key), dtype=float).tobytes())
    counts = manager.get_from_registry(REGISTRY_KEYS.X_KEY)
    genes = pd.Index(manager.get_state_registry(REGISTRY_KEYS.X_KEY)["column_names"])
    return {"counts": fingerprint(counts, genes=genes), "covariates": digest.hexdigest()[:32]}


@contextmanager
def chance_of(step: Step) -> Iterator[None]:
    """Put seed, generator and threads where they stood before a step; afterwards all is as it was."""
    seed, state, threads = settings.seed, torch.get_rng_state(), torch.get_num_threads()
    try:
        settings.seed = step.seed
        torch.set_num_threads(step.threads)
        set_generator_state(step.generator)
        yield
    finally:
        settings.seed = seed
        torch.set_num_threads(threads)
        torch.set_rng_state(state)


def record_now(model: Any) -> Record | None:
    """Return the record of a model; a training that goes on, of which this is a checkpoint, is a step that was stopped."""
    step, record = vars(model).get("_step_now"), model.record_
    if step is None or record is None:
        return record
    return replace(record, steps=(*record.steps, _with_data(replace(step, stopped="a checkpoint"), model)))


def describe(model: Any) -> dict[str, Any]:
    """Return how a model was made, for people to read: text, numbers, and dicts of these, which ``write_h5ad`` can store."""
    record = record_now(model) or Record({}, None, ())
    last = record.steps[-1] if record.steps else None
    setup = {name: str(value) for name, value in model.registry_[SETUP_ARGS_KEY].items() if value is not None}
    return {
        "version": version("scdual"),
        "seed": "not recorded" if last is None else _seed_text(last),
        "seed_at_construction": _seed_text(record.steps[0]) if record.begins else "not recorded",
        "setup": setup,
        "model": _plain_values(model._module_kwargs),
        "trainings": {f"{i}_{step.name}": _readable(step) for i, step in enumerate(record.steps[1:], start=1)},
        "versions": {} if last is None else last.versions,
        "data": {} if last is None else last.data or {},
        "prior": record.prior or "none",
        "n_regulators": len(model.regulators),
        "n_epochs": _n_epochs(model),
    }


def loss_curves(history: Mapping[str, pd.DataFrame] | None) -> dict[str, np.ndarray]:
    """Return the losses of training and validation cells per epoch, ``(n_epochs,)`` each, nan where none was computed.

    Parameters
    ----------
    history
        The ``history`` of a model; None if it has none.
    """
    curves = {name: curve.iloc[:, 0].astype(float) for name, curve in (history or {}).items() if _LOSS.search(name)}
    epochs = sorted(set().union(*(curve.index for curve in curves.values())))
    return {name: curve.groupby(level=0).last().reindex(epochs).to_numpy() for name, curve in curves.items()}


def _seed_text(step: Step) -> int | str:
    """Return the seed of a step, or that there was none."""
    return "not set" if step.seed is None else step.seed


def _readable(step: Step) -> dict[str, Any]:
    end = {} if step.stopped is None else {"stopped_by": step.stopped}
    ran = {"seed": _seed_text(step), "epochs": step.n_epochs, "device": step.device, "threads": step.threads}
    return _plain_values(step.arguments) | ran | end


def _plain_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as numbers and text, without those that are None or empty."""
    return {
        name: value if isinstance(value, bool | int | float | str) else str(value)
        for name, value in values.items()
        if value is not None and value != {}
    }


def _step(model: Any, name: str, arguments: Mapping[str, Any], generator: str) -> Step:
    """Return what is about to be done, without the hash of its data, which a wrong call may not have."""
    kept, lost = {}, []
    for key, value in arguments.items():
        try:
            encode(value)
            kept[key] = value
        except TypeError:
            kept[key] = f"<{type(value).__module__}.{type(value).__name__}>"
            lost.append(key)
    return Step(
        name=name,
        arguments=kept,
        lost=lost,
        seed=None if settings.seed is None else int(settings.seed),
        generator=generator,
        data=None,
        device=str(model.device),
        threads=torch.get_num_threads(),
        versions=versions(),
    )


def _flat_arguments(bound: inspect.BoundArguments, signature: inspect.Signature) -> dict[str, Any]:
    """Return arguments by name, without the model; configurations become dicts."""
    arguments: dict[str, Any] = {}
    for name, value in list(bound.arguments.items())[1:]:
        if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            arguments |= value
        elif hasattr(value, "to_kwargs"):
            arguments[name] = merge_kwargs(value, None, name=name)
        else:
            arguments[name] = value
    return arguments


def _add(model: Any, step: Step) -> None:
    """Add a step that was done, with what the trainer chose."""
    arguments, n_epochs = dict(step.arguments), step.n_epochs
    if step.name == "train" and step.stopped is None:
        arguments["max_epochs"] = model.trainer.max_epochs
        n_epochs = n_epochs or model.trainer.current_epoch  # a logger of the user leaves no history
    record = model.record_ or replace(first_record(model, step.generator), steps=())
    done = _with_data(replace(step, arguments=arguments, n_epochs=n_epochs, device=str(model.device)), model)
    model.record_ = replace(record, steps=(*record.steps, done))


def _with_data(step: Step, model: Any) -> Step:
    return replace(step, data=data_hash(model.adata_manager))


def _n_epochs(model: Any) -> int:
    return int(model._n_epochs())


def _weights_hash(model: Any) -> int:
    """Return a quick hash of weights, buffers and the ensemble."""
    states = [model.module.state_dict(), model.null_, *model.ensemble_]
    return functools.reduce(
        lambda found, values: zlib.crc32(_bytes(values), found), (v for s in states for v in s.values()), 0
    )


def _bytes(values: torch.Tensor) -> memoryview:
    """Return the bytes of a tensor, in its own memory where that is possible."""
    flat = values.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data
