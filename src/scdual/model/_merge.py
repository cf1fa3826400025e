"""Which ensembles may be put together: those of the same cells and settings, learnt with other seeds."""

from typing import Any

import torch

from scdual.model._record import Step
from scdual.model._scvi import SETUP_ARGS_KEY

MERGED = "merge_ensembles"  # the method, and its step in the record of a run


def check_mergeable(model: Any, other: Any, *, name: str) -> None:
    """Raise an error unless the ensemble of another model may be added to that of a model.

    Parameters
    ----------
    model, other
        Models of one class.
    name
        What the other one is called.

    Raises
    ------
    TypeError
        If it is no model of this class.
    ValueError
        If a model has no ensemble, or they differ in genes, cells or settings, or were learnt with the same seed.
    """
    if not isinstance(other, type(model)):
        msg = f"{name} is of type {type(other).__name__}, expected {type(model).__name__}; pass trained models."
        raise TypeError(msg)
    mine, others = _facts(model, "The model"), _facts(other, name)
    wrong = next((what for what, value in mine.items() if value != others[what]), None)
    if wrong is not None:
        msg = f"{name} has other {wrong} than the model, so their ensembles are not of one kind; fit both on the same cells with the same options."
        raise ValueError(msg)
    seeds = learnt_with(model)
    twice = [seed for seed in learnt_with(other) if seed is not None and seed in seeds]
    if twice or any(_is_copy(one, two) for one in model.ensemble_ for two in other.ensemble_):
        seed = f"seed {twice[0]}" if twice else "the same seed"
        msg = f"{name} was learnt with {seed} as the model was, from the same halves of the cells; give each its own seed."
        raise ValueError(msg)


def learnt_with(model: Any) -> list[int | None]:
    """Return the seeds with which the members of an ensemble were learnt, once for each training."""
    seeds: list[int | None] = []
    for step in reversed(model.record_.steps):
        if step.name == MERGED:
            seeds = [*step.arguments["seeds"], *seeds]
        elif step.name == "train_ensemble":
            return [step.seed, *seeds]
    return seeds


def _is_copy(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    """Return whether two members know the same; of nothing there may be several."""
    z = one["known.z"]
    return bool(z.any()) and torch.equal(z, two["known.z"])


def _facts(model: Any, name: str) -> dict[str, Any]:
    """Return what two models must have in common, by its name, the plainest first."""
    if not model.ensemble_:
        msg = f"{name} has no ensemble to merge; call `train_ensemble` first. Training a model again throws it away."
        raise ValueError(msg)
    learnt = _learnt(model)
    if learnt is None:
        msg = f"{name} does not say how its ensemble was learnt, for an early version saved it; call `train_ensemble` again."
        raise ValueError(msg)
    data = learnt.data or {}
    return {
        "genes": model.gene_names,
        "regulators": model.regulators,
        "prior": model.record_.prior,
        "arguments of `SCDual`": model._module_kwargs,
        "arguments of set-up": model.registry_[SETUP_ARGS_KEY],
        "counts": data.get("counts"),
        "covariates": data.get("covariates"),
        "arguments of `train_ensemble`": {key: learnt.arguments[key] for key in ("permute_within", "batch_size")},
    }


def _learnt(model: Any) -> Step | None:
    steps = () if model.record_ is None else model.record_.steps
    return next((step for step in reversed(steps) if step.name == "train_ensemble"), None)
