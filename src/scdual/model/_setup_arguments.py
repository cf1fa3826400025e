"""Are the columns that a set-up names columns? Asked before any data are looked at."""

from collections.abc import Iterable, Mapping, Sized
from typing import Any

from anndata import AnnData
from mudata import MuData

from scdual._checks import check_choice, check_flag, check_names, shown


def check_keys(setup_args: dict[str, Any]) -> None:
    """Raise an error unless each key of a column is one, and each list of them a list.

    Raises
    ------
    TypeError
        If a list is given in place of a column, a column in place of a list, or a key or flag is of another type.
    ValueError
        If cells without a label are named, but no column of labels.
    """
    for name in ("categorical_covariate_keys", "continuous_covariate_keys"):
        if isinstance(setup_args[name], str):
            msg = (
                f"`{name}` is the text {setup_args[name]!r}, expected a list of columns; write [{setup_args[name]!r}]."
            )
            raise TypeError(msg)
        if setup_args[name] is not None and not (isinstance(setup_args[name], Sized) and len(setup_args[name]) == 0):
            check_names(name, setup_args[name])
    for name in ("batch_key", "labels_key", "size_factor_key"):
        key = setup_args[name]
        if not (key is None or (isinstance(key, str) and key)):  # scvi-tools takes 0 and "" for None
            msg = f"`{name}` is {shown(key)}, expected the name of one column of `obs`, a text; join or rename columns first."
            raise TypeError(msg)
    check_flag("require_counts", setup_args.get("require_counts", True))
    if setup_args["unlabeled_category"] is not None and setup_args["labels_key"] is None:
        msg = f"`unlabeled_category={setup_args['unlabeled_category']!r}` needs `labels_key`, the column of `obs` that holds it."
        raise ValueError(msg)


def check_modalities(modalities: Any, known: Iterable[str], arguments: Iterable[str]) -> dict[str, str | None]:
    """Return the modality of each argument of ``setup_mudata`` that is named.

    Parameters
    ----------
    modalities
        What was passed.
    known
        Modalities of the data.
    arguments
        Names of the arguments.

    Raises
    ------
    ValueError
        If the RNA modality is not named, or an argument or a modality does not exist.
    """
    known, arguments = list(known), list(arguments)
    if not isinstance(modalities, Mapping) or modalities.get("rna_layer") is None:
        msg = (
            f"`modalities` is {shown(modalities)}, but it has to name the RNA modality among {known}; "
            'pass for example `modalities={"rna_layer": "rna"}`.'
        )
        raise ValueError(msg)
    for argument, name in modalities.items():
        check_choice("argument in modalities", argument, arguments)
        check_choice(f'modalities["{argument}"]', name, (*known, None))
    return dict(modalities)


def check_no_view(data: AnnData | MuData) -> None:
    """Raise ``ValueError`` if data, or a modality, are a view of other data, into which nothing can be written."""
    parts = {"data": data, **(dict(data.mod) if isinstance(data, MuData) else {})}
    for name, part in parts.items():
        if part.is_view:
            what = f"The {type(part).__name__}" if part is data else f"The modality {name!r}"
            copy = "mdata = mdata.copy()" if isinstance(data, MuData) else "adata = adata.copy()"
            msg = f"{what} is a view of other data, expected data of their own; pass a copy, `{copy}`."
            raise ValueError(msg)
