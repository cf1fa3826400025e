"""Are the columns that a set-up names columns? Asked before any data are looked at."""

from typing import Any

from scdual._checks import check_names


def check_keys(setup_args: dict[str, Any]) -> None:
    """Raise an error unless each key of a column is one, and each list of them a list.

    Raises
    ------
    TypeError
        If a list is given in place of a column, or a column in place of a list.
    ValueError
        If cells without a label are named, but no column of labels.
    """
    for name in ("categorical_covariate_keys", "continuous_covariate_keys"):
        if isinstance(setup_args[name], str):
            msg = (
                f"`{name}` is the text {setup_args[name]!r}, expected a list of columns; write [{setup_args[name]!r}]."
            )
            raise TypeError(msg)
        if setup_args[name]:
            check_names(name, setup_args[name])
    for name in ("batch_key", "labels_key", "size_factor_key"):
        if isinstance(setup_args[name], list | tuple):
            msg = f"`{name}` is {setup_args[name]!r}, expected the name of one column of `obs`; join several in one first."
            raise TypeError(msg)
    if setup_args["unlabeled_category"] is not None and setup_args["labels_key"] is None:
        msg = f"`unlabeled_category={setup_args['unlabeled_category']!r}` needs `labels_key`, the column of `obs` that holds it."
        raise ValueError(msg)
