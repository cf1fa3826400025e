"""Groups of cells by one or more columns of ``obs``."""

import itertools
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd

from scdual._checks import check_column, check_names, listed
from scdual._warning import warn
from scdual.data._categories import check_no_measurement

SMALLEST_GROUP = 2  # cells: a map is about how genes vary, which one cell does not tell
_BETWEEN = " | "  # the names of several columns; a bar inside a name is doubled


def check_groupby(name: str, groupby: str | Sequence[str] | None, obs: pd.DataFrame) -> list[str]:
    """Return the columns that make the groups.

    Raises
    ------
    TypeError, ValueError, KeyError
        If they are no different columns of ``obs``.
    """
    several = isinstance(groupby, list | tuple | pd.Index | np.ndarray)
    columns: list[Any] = check_names(name, groupby) if several else [groupby]
    for column in columns:
        check_column(name, column, obs.columns)
    return columns


def group_names(name: str, groupby: str | Sequence[str] | None, obs: pd.DataFrame) -> pd.Series:
    """Return the name of each cell's group, categorical, ``(C,)``; missing where a column has no value.

    With several columns the names are joined as in ``B cell | treated``; a bar within a name is doubled, so that two
    groups never get the same name.

    Parameters
    ----------
    name
        Name of the argument, for errors.
    groupby
        Column or columns of ``obs``.
    obs
        Table of the cells.

    Raises
    ------
    KeyError
        If a column is not there.
    ValueError
        If two groups of a column would have the same name, such as 1 and ``"1"``.
    """
    columns = check_groupby(name, groupby, obs)
    named = [_named(name, obs[column]) for column in columns]
    if len(named) == 1:
        return named[0]
    joined = {
        names: _BETWEEN.join(part.replace("|", "||") for part in names)
        for names in itertools.product(*(column.cat.categories for column in named))
    }
    found = [joined.get(names) for names in zip(*named, strict=True)]  # None where a part is missing
    return pd.Series(pd.Categorical(found, categories=list(joined.values())), obs.index).cat.remove_unused_categories()


def group_cells(
    groupby: str | Sequence[str], obs: pd.DataFrame, cells: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Return the positions of the cells of each group, by its name; groups of a single cell are left out.

    Parameters
    ----------
    groupby
        Column or columns of ``obs``.
    obs
        Table of the cells.
    cells
        Positions of the cells to group; None takes all.

    Raises
    ------
    KeyError, ValueError
        As :func:`group_names`, or if no group has two cells.
    """
    cells = np.arange(len(obs)) if cells is None else cells
    labels = group_names("groupby", groupby, obs.iloc[cells])
    groups = {str(label): cells[(labels == label).to_numpy()] for label in labels.cat.categories}
    if not groups:
        msg = f"`groupby={groupby!r}` gives no group: no cell has a value there. Name a column of `obs` with groups."
        raise ValueError(msg)
    small = [label for label, members in groups.items() if len(members) < SMALLEST_GROUP]
    if small:
        leave_out(small, groups, "a single cell does not tell how genes vary")
    return {label: members for label, members in groups.items() if label not in small}


def leave_out(left_out: Sequence[str], groups: Collection[str], reason: str) -> None:
    """Warn of groups that have no map.

    Raises
    ------
    ValueError
        If they are all groups.
    """
    if len(left_out) == len(groups):
        msg = f"None of the {len(groups)} groups of `groupby` has a map, because {reason}. Name a column of `obs` with fewer, larger groups."
        raise ValueError(msg)
    warn(
        f"{len(left_out)} of {len(groups)} groups have no map and are left out, because {reason}: {listed(left_out)}. "
        "Merge small groups to have one."
    )


def _named(name: str, column: pd.Series) -> pd.Series:
    """Return a column as categories that are text, without those that no cell has."""
    check_no_measurement(column, f"`{name}` names a column that")
    labels = column.astype("category").cat.remove_unused_categories()
    names = [str(label) for label in labels.cat.categories]
    alike = [name for name, number in Counter(names).items() if number > 1]
    if alike:
        kinds = [label for label in labels.cat.categories if str(label) == alike[0]]
        msg = (
            f"`{name}` names `obs[{column.name!r}]`, which has groups that read the same, {listed(kinds)}. "
            f"Make it one type, as in `adata.obs[{column.name!r}].astype(str)`, if they are the same, or rename them."
        )
        raise ValueError(msg)
    return labels.cat.rename_categories(names)
