"""Convert a network to and from tables, ``varp`` matrices and the layout of the tensors.

This is the only file of the package that transposes: inside tensors row = target and column = regulator,
outside row = regulator and column = target.

Dimension key
    R  regulator genes      T  target genes      E  edges
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, sparray, spmatrix

if TYPE_CHECKING:
    from scdual.grn._network import RegulatoryNetwork

_MAX_LISTED = 10


def list_names(names: Iterable[str]) -> str:
    """Return names as text for a message, shortened when there are many."""
    names = list(names)
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return f"{[str(name) for name in names[:_MAX_LISTED]]}{more}"


def unique_names(names: Iterable[str], *, role: str) -> pd.Index:
    """Return a copy of the names as an index.

    Raises
    ------
    ValueError
        If a name is missing or occurs twice.
    """
    index: pd.Index = pd.Index(names, copy=True).astype(object).rename(None)
    if index.hasnans:
        msg = (
            f"{np.count_nonzero(index.isna())} of {len(index)} `{role}` have no name, expected none. Name or drop them."
        )
        raise ValueError(msg)
    if not index.is_unique:
        repeated = index[index.duplicated()].unique()
        msg = (
            f"{len(repeated)} names occur more than once in `{role}`: {list_names(repeated)}; expected unique names. "
            "Drop the repeats, or call `adata.var_names_make_unique()` before fitting."
        )
        raise ValueError(msg)
    return index


def name_positions(names: pd.Index, index: pd.Index, *, role: str, where: str) -> np.ndarray:
    """Return the position of each name in a unique index.

    Raises
    ------
    ValueError
        If a name is not in the index.
    """
    position = index.get_indexer(names)
    missing = names[position < 0].unique()
    if len(missing):
        msg = (
            f"{len(missing)} of {names.nunique()} {role} are not in {where}: {list_names(missing)}; "
            f"the names there look like {[str(name) for name in index[:3]]}. "
            "Use the same identifiers (symbols or Ensembl) in both, or drop these genes."
        )
        raise ValueError(msg)
    return position


def self_pairs(regulators: pd.Index, targets: pd.Index) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and columns at which a gene meets itself."""
    column = targets.get_indexer(regulators)
    row = np.flatnonzero(column >= 0)
    return row, column[row]


def strongest_edges(
    weight: np.ndarray, regulators: pd.Index, *, targets: pd.Index, n: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of the ``n`` strongest edges, strongest first, ties by regulator, then target name.

    Raises
    ------
    ValueError
        If ``n`` is negative.
    """
    row, column = np.nonzero(weight)  # (E,), (E,)
    strength = np.abs(weight[row, column])
    n = len(strength) if n is None else n
    if n < 0:
        msg = f"The number of edges to keep is {n}, expected 0 or more. Pass None to keep all edges of a table."
        raise ValueError(msg)
    if 0 < n < len(strength):  # sort only what can be kept: networks may have 10^7 edges
        keep_mask = strength >= np.partition(strength, -n)[-n]
        row, column, strength = row[keep_mask], column[keep_mask], strength[keep_mask]
    row_rank, column_rank = regulators.factorize(sort=True)[0], targets.factorize(sort=True)[0]
    order = np.lexsort((column_rank[column], row_rank[row], -strength))[:n]
    return row[order], column[order]


def edges_to_frame(
    matrices: Mapping[str, np.ndarray], regulators: pd.Index, *, targets: pd.Index, top: int | None = None
) -> pd.DataFrame:
    """Return a table ``source, target, weight, ...`` of matrices ``(R, T)``; see :meth:`RegulatoryNetwork.to_frame`."""
    row, column = strongest_edges(matrices["weight"], regulators, targets=targets, n=top)
    source, target = regulators.to_numpy()[row], targets.to_numpy()[column]
    columns = {name: values[row, column] for name, values in matrices.items()}
    return pd.DataFrame({"source": source, "target": target, **columns})


def weight_to_varp(weight: np.ndarray, regulators: pd.Index, *, targets: pd.Index, var_names: pd.Index) -> csr_matrix:
    """Return a ``varp`` matrix from weights ``(R, T)``; see :meth:`RegulatoryNetwork.to_varp`."""
    row_of = name_positions(regulators, var_names, role="regulators", where="`var_names`")
    column_of = name_positions(targets, var_names, role="targets", where="`var_names`")
    row, column = np.nonzero(weight)
    entries = (weight[row, column].astype(np.float32), (row_of[row], column_of[column]))
    return csr_matrix(entries, shape=(len(var_names), len(var_names)))


def from_frame(
    frame: pd.DataFrame, targets: Iterable[str] | None = None, *, regulators: Iterable[str] | None = None
) -> "RegulatoryNetwork":
    """Return the network of a table ``source, target, weight``.

    Parameters
    ----------
    frame
        One row per edge; further columns are ignored.
    targets
        Names of the columns, in order; ``None`` means the targets of the table, sorted.
    regulators
        Names of the rows, in order; ``None`` means the sources of the table, sorted.

    Raises
    ------
    ValueError
        If a column is missing, a pair occurs twice, a name is unknown, or the network is not valid.
    """
    check_columns(frame, ["source", "target", "weight"])
    _check_pairs(frame)
    source, target = pd.Index(frame["source"], dtype=object), pd.Index(frame["target"], dtype=object)
    rows = unique_names(source.unique().sort_values() if regulators is None else regulators, role="regulators")
    columns = unique_names(target.unique().sort_values() if targets is None else targets, role="targets")
    row = name_positions(source, rows, role="sources of the table", where="`regulators`")
    column = name_positions(target, columns, role="targets of the table", where="`targets`")
    weight = np.zeros((len(rows), len(columns)))
    weight[row, column] = frame["weight"]
    return _network(weight, rows, columns)


def from_varp(
    matrix: spmatrix | sparray | np.ndarray, var_names: Iterable[str], *, group: str | None = None
) -> "RegulatoryNetwork":
    """Return the network of a ``varp`` matrix, row = regulator; all genes are targets, genes with edges regulators.

    Parameters
    ----------
    matrix
        Signed weights, shape ``(n_vars, n_vars)``, sparse or dense. It is not changed.
    var_names
        Names of the ``n_vars`` genes.
    group
        Name of the group of cells.

    Raises
    ------
    ValueError
        If the shape does not fit ``var_names``, or the network is not valid.
    """
    names = unique_names(var_names, role="var_names")
    if matrix.shape != (len(names), len(names)):
        msg = (
            f"`matrix` has shape {matrix.shape}, expected {(len(names), len(names))} for {len(names)} `var_names`. "
            "Pass the `varp` matrix and the `var_names` of the same AnnData object."
        )
        raise ValueError(msg)
    stored = csr_matrix(matrix)
    row = np.flatnonzero(np.diff(stored.indptr))  # make only these rows dense
    weight = stored[row].toarray()
    keep_mask = (weight != 0).any(axis=1)  # a stored row may hold zeros only
    return _network(weight[keep_mask], names[row[keep_mask]], names, group=group)


def from_attention_layout(
    weight_tr: np.ndarray, regulators: Iterable[str], targets: Iterable[str], *, group: str | None = None
) -> "RegulatoryNetwork":
    """Return the network of weights laid out as inside the tensors, row = target and column = regulator.

    Parameters
    ----------
    weight_tr
        Signed weights, shape ``(T, R)``.
    regulators
        Names of the ``R`` columns.
    targets
        Names of the ``T`` rows.
    group
        Name of the group of cells.

    Raises
    ------
    ValueError
        If the shape does not fit the names, or the network is not valid.
    """
    weight_tr, rows, columns = np.asarray(weight_tr), pd.Index(regulators), pd.Index(targets)
    if weight_tr.shape != (len(columns), len(rows)):
        msg = (
            f"`weight_tr` has shape {weight_tr.shape}, expected {(len(columns), len(rows))}: one row per target, "
            "one column per regulator. If the rows are regulators, use `RegulatoryNetwork`."
        )
        raise ValueError(msg)
    return _network(weight_tr.T, rows, columns, group=group)  # (R, T)


def check_columns(frame: pd.DataFrame, expected: list[str]) -> None:
    """Raise ``ValueError`` if the table lacks an expected column."""
    missing = [name for name in expected if name not in frame.columns]
    if missing:
        msg = f"The table has columns {list(frame.columns)}, expected {expected}. Rename or add {missing}."
        raise ValueError(msg)


def _check_pairs(frame: pd.DataFrame) -> None:
    repeated = frame.loc[frame.duplicated(["source", "target"]), ["source", "target"]].drop_duplicates()
    if len(repeated):
        pairs = list_names(f"{source} -> {target}" for source, target in repeated.itertuples(index=False))
        msg = (
            f"{len(repeated)} pairs occur more than once in the table: {pairs}; expected one row per edge. "
            "Combine these rows, for example by their mean weight."
        )
        raise ValueError(msg)


def _network(
    weight: np.ndarray, regulators: pd.Index, targets: pd.Index, *, group: str | None = None
) -> "RegulatoryNetwork":
    from scdual.grn._network import RegulatoryNetwork  # not at the top: that file needs this one first

    return RegulatoryNetwork(weight, regulators, targets, group)
