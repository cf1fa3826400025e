"""What the arguments of the module and of its training plan may be, in one place for all who take them."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, get_args

from scdual._checks import check_choice, check_flag, check_keywords, check_number, check_type, check_whole
from scdual._types import BatchRepresentation, Dispersion, GeneLikelihood

_EMBEDDING_KEYWORDS = ("embedding_dim", "padding_idx", "max_norm", "norm_type", "scale_grad_by_freq", "sparse")


def _is_mapping(name: str, value: Any) -> None:
    check_type(name, value, Mapping, optional=True)


_is_size = partial(check_whole, at_least=1)
_is_count = partial(check_whole, at_least=0)
_is_weight = partial(check_number, at_least=0)
_is_share = partial(check_number, above=0, at_most=1)

Checks = Mapping[str, Callable[[str, Any], None]]

MODULE_CHECKS: Checks = {
    **dict.fromkeys(
        ("n_hidden", "n_latent", "n_latent_components", "n_layers", "n_embed", "n_heads", "n_pool", "n_bins"), _is_size
    ),
    "dropout_rate": partial(check_number, at_least=0, below=1, optional=True),
    "gene_likelihood": partial(check_choice, choices=get_args(GeneLikelihood)),
    "dispersion": partial(check_choice, choices=get_args(Dispersion)),
    "batch_representation": partial(check_choice, choices=get_args(BatchRepresentation)),
    "batch_embedding_kwargs": _is_mapping,
    "min_cells": _is_count,
    "visible_share": partial(_is_share, optional=True),
    "denoised_weight": partial(_is_weight, optional=True),
    "target_share": _is_share,
    **dict.fromkeys(("regulation_weight", "sparsity_weight", "prior_weight", "classification_weight"), _is_weight),
    "extra_payload_autotune": check_flag,
}
"""What a user chooses, by name; the rest of the module's arguments is read off the data."""

DATA_CHECKS: Checks = {
    **dict.fromkeys(("n_input", "n_batch", "n_labels"), _is_size),
    "n_continuous_cov": _is_count,
    "use_size_factor_key": check_flag,
    "has_unlabeled": check_flag,
}

PLAN_CHECKS: Checks = {
    "lr": _is_weight,
    "weight_decay": _is_weight,
    "eps": partial(check_number, above=0),
    "n_steps_warmup": _is_count,
    "n_steps_kl_warmup": partial(_is_count, optional=True),
    "map_every": _is_size,
    "max_kl_weight": partial(_is_weight, optional=True),
    "compile": check_flag,
    "compile_kwargs": _is_mapping,
    "on_step": partial(check_flag, optional=True),
    "on_epoch": partial(check_flag, optional=True),
}


def check_module(given: Mapping[str, Any]) -> None:
    """Raise an error if an argument of the module is wrong, or two of them do not go together.

    Parameters
    ----------
    given
        All arguments by name.
    """
    check_arguments(given, {**MODULE_CHECKS, **DATA_CHECKS})
    n_embed, n_heads = given["n_embed"], given["n_heads"]
    if n_embed % (2 * n_heads):
        msg = f"`n_embed` is {n_embed} with {n_heads} `n_heads`, expected a multiple of {2 * n_heads}. Change one of them."
        raise ValueError(msg)
    embedding = given["batch_embedding_kwargs"]
    if embedding:
        check_keywords(embedding, _EMBEDDING_KEYWORDS, where="`batch_embedding_kwargs`")
        if given["batch_representation"] != "embedding":
            msg = "`batch_embedding_kwargs` has no effect on a one-hot batch; pass `batch_representation='embedding'`."
            raise ValueError(msg)


def check_arguments(given: Mapping[str, Any], checks: Checks) -> None:
    """Check those arguments for which there is a check."""
    for name in given.keys() & checks.keys():
        checks[name](name, given[name])
