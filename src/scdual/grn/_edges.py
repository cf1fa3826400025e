"""The one reader and writer of edge tables.

Dimension key
    R  regulator genes (rows)      T  target genes (columns)      E  edges
"""

import unicodedata
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from scdual._checks import listed, shown
from scdual._spreadsheet import unguarded
from scdual._warning import warn
from scdual.grn._edge_columns import EdgeColumns, refuse_edges
from scdual.grn._edge_file import read_edge_file
from scdual.grn._names import as_names, spelled_as

EdgeTable: TypeAlias = pd.DataFrame | Mapping[str, Sequence[Any]] | str | PathLike[str]

_WEIGHT_ADVICE = "expected a number above or below zero. Drop these edges, or leave out the weights if none is known."


def read_edges(table: EdgeTable, *, role: str = "table") -> pd.DataFrame:
    """Return the edges of a table as ``source, target, strength, sign``, ``(E, 4)``; the table is not changed.

    The strength is the absolute weight, 1 if the table has none and nan where it is missing; the sign is 1, -1, or 0
    where it is unknown. Names are text without blanks at their ends. What comes back reads the same again.

    Parameters
    ----------
    table
        One row per edge, as a DataFrame, a mapping of columns, or the path of a CSV or TSV file. Columns:

        * ``source, target`` - regulator and the gene it acts on; also ``TF``, ``regulator`` or ``Gene1`` and ``gene``,
          ``target_gene`` or ``Gene2``; ``source_genesymbol, target_genesymbol`` come before ``source, target``
        * ``weight`` or ``coef_mean`` - strength and sign; if all are positive and no other column has signs, every edge
          activates
        * ``importance`` or ``likelihood`` - strength alone
        * ``sign``, ``mor``, ``effect``, ``regulation``, ``mode_of_regulation``, ``mode``, ``type``, ``interaction``,
          ``is_stimulation`` with ``is_inhibition`` - sign, as numbers or as words such as ``Activation``
    role
        What the table is, for messages.

    Raises
    ------
    TypeError
        If it is no table.
    FileNotFoundError
        If there is no such file.
    ValueError
        If columns or names are missing, a weight is no finite number, or columns contradict each other.
    """
    frame = as_table(table, role=role)
    columns = EdgeColumns(frame, role)
    source, target = _gene_names(columns.source, role), _gene_names(columns.target, role)
    strength, sign = columns.strength(), columns.sign()
    return pd.DataFrame({"source": source, "target": target, "strength": strength, "sign": sign})


def read_evidence(table: EdgeTable, *, role: str = "table") -> dict[str, np.ndarray]:
    """Return the columns ``sd, support`` and, where there, ``q_value, n_cells`` of a table, each ``(E,)``.

    Empty unless both ``sd`` and ``support`` are there; see :class:`scdual.grn.EdgeEvidence`.

    Parameters
    ----------
    table
        As for :func:`read_edges`.
    role
        What the table is, for messages.

    Raises
    ------
    ValueError
        If a value is missing, or out of its range.
    """
    return EdgeColumns(as_table(table, role=role), role).evidence()


def spell_edges(edges: pd.DataFrame, genes: pd.Index, *, role: str) -> pd.DataFrame:
    """Return the edges with the names that the genes have, and warn of Ensembl ids matched without their version.

    Parameters
    ----------
    edges
        Edges as :func:`read_edges` returns them.
    genes
        Names as text, unique.
    role
        What the table is, for messages.
    """
    spelled = edges.assign(**{side: spelled_as(pd.Index(edges[side]), genes) for side in ("source", "target")})
    changed: set[tuple[str, str]] = set()
    for side in ("source", "target"):
        is_changed = edges[side].to_numpy() != spelled[side].to_numpy()
        changed |= set(zip(edges[side][is_changed], spelled[side][is_changed].str.strip(), strict=True))
    changed = {(before, after) for before, after in changed if before != after}
    if changed:
        example = " as ".join(min(changed))
        warn(
            f"{len(changed)} names of the {role} are matched without the version of their Ensembl ids, e.g. {example}. "
            "Check that both come from the same release, or near ones."
        )
    return spelled


def check_no_repeats(edges: pd.DataFrame, *, role: str) -> None:
    """Raise ``ValueError`` if a pair of source and target occurs twice."""
    advice = "expected each pair once. Keep one, e.g. with `table.drop_duplicates(['source', 'target'])`."
    _refuse(edges, edges.duplicated(["source", "target"]), "a pair that is repeated", role=role, advice=advice)


def check_strengths(edges: pd.DataFrame, *, role: str, may_lack: bool = False) -> None:
    """Raise ``ValueError`` if a strength is zero, or missing unless it ``may_lack``."""
    _refuse(edges, edges["strength"] == 0, "a weight of zero", role=role, advice=_WEIGHT_ADVICE)
    if not may_lack:
        _refuse(edges, edges["strength"].isna(), "no weight", role=role, advice=_WEIGHT_ADVICE)


def signed_weights(edges: pd.DataFrame, *, role: str) -> np.ndarray:
    """Return strength times sign, ``(E,)``.

    Raises
    ------
    ValueError
        If the sign of an edge with a weight is unknown, or its strength is missing.
    """
    strength, sign = edges["strength"], edges["sign"]
    _refuse(edges, strength.isna(), "no weight", role=role, advice=_WEIGHT_ADVICE)
    advice = "expected signs. Pass signed weights in a column 'weight', or signs in a column 'sign'."
    _refuse(edges, (sign == 0) & (strength != 0), "an unknown sign", role=role, advice=advice)
    return (strength * sign).to_numpy()


def strongest_edges(
    weight: np.ndarray, regulators: pd.Index, *, targets: pd.Index, n: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of the ``n`` strongest edges, strongest first, ties by regulator, then target name."""
    if n is not None and 0 < n < np.count_nonzero(weight):  # look only at what can be kept, of perhaps 10^7 edges
        strength = np.abs(weight)
        row, column = np.nonzero(strength >= np.partition(strength, -n, axis=None)[-n])
    else:
        row, column = np.nonzero(weight)
    strength = np.abs(weight[row, column])  # (E,)
    row_rank, column_rank = regulators.factorize(sort=True)[0], targets.factorize(sort=True)[0]
    order = np.lexsort((column_rank[column], row_rank[row], -strength))[:n]
    return row[order], column[order]


def edges_to_frame(
    matrices: Mapping[str, np.ndarray],
    regulators: pd.Index,
    *,
    targets: pd.Index,
    top: int | None = None,
    symbols: Mapping[str, pd.Index] | None = None,
) -> pd.DataFrame:
    """Return a table ``source, target, weight, ...`` of matrices ``(R, T)``; see :meth:`RegulatoryNetwork.to_frame`.

    The symbols of ``"source"`` ``(R,)`` and ``"target"`` ``(T,)``, if given, follow the names.
    """
    row, column = strongest_edges(matrices["weight"], regulators, targets=targets, n=top)
    places = {"source": row, "target": column}
    labels = {f"{side}_symbol": names.take(places[side]) for side, names in (symbols or {}).items()}
    columns = {name: values[row, column] for name, values in matrices.items()}
    return pd.DataFrame({"source": regulators.take(row), "target": targets.take(column), **labels, **columns})


def as_table(table: EdgeTable, *, role: str) -> pd.DataFrame:
    """Return the table as a DataFrame with rows 0, 1, ...; a file is read.

    Raises
    ------
    TypeError, FileNotFoundError, ValueError
        As :func:`read_edges`.
    """
    if isinstance(table, pd.DataFrame):
        return table.reset_index(drop=True)
    if isinstance(table, str | PathLike):
        return unguarded(read_edge_file(table, role=role))
    if not isinstance(table, Mapping):
        msg = (
            f"Found a {role} of type {type(table).__name__}, expected a DataFrame, a mapping of columns, or the path of a "
            "CSV or TSV file. Pass a table with the columns 'source', 'target' and, if known, 'weight'; of a network, its "
            "`to_frame()`."
        )
        raise TypeError(msg)
    try:
        return pd.DataFrame(dict(table))
    except ValueError as error:
        msg = f"The columns {listed(table)} of the {role} make no table ({error}). Pass columns of one length each."
        raise ValueError(msg) from error


def _gene_names(values: pd.Series, role: str) -> pd.Index:
    """Return the names in a column as text without blanks at the ends."""
    n_unnamed = int(values.isna().sum())
    names = as_names(pd.Index(values.dropna())).str.strip()
    n_unnamed += int((names == "").sum())
    if n_unnamed:
        msg = f"{n_unnamed} of {len(values)} edges of the {role} lack a source or target name. Drop or complete them."
        raise ValueError(msg)
    broken = [name for name in names.unique() if any(unicodedata.category(letter) == "Cc" for letter in name)]
    if broken:
        msg = (
            f"{len(broken)} names of the {role} hold control characters, e.g. {shown(broken[0])}, expected names of genes. "
            "Check the separator of the file, and write the names anew."
        )
        raise ValueError(msg)
    return names


def _refuse(edges: pd.DataFrame, is_wrong: pd.Series, what: str, *, role: str, advice: str) -> None:
    """Raise ``ValueError`` if edges have what they should not have."""
    refuse_edges(edges["source"], edges["target"], is_wrong.to_numpy(), what=what, role=role, advice=advice)
