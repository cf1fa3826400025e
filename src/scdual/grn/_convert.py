"""Convert a network to and from tables, ``varp`` matrices and the layout of the tensors.

Inside tensors row = target and column = regulator; outside, and in all other files of this room, row = regulator and
column = target. A map becomes a network, and turns round, in :func:`from_attention_layout` alone.

Dimension key
    R  regulator genes      T  target genes
"""

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, issparse, sparray, spmatrix

from scdual._checks import listed
from scdual.grn._edges import EdgeTable, as_table, check_no_repeats, read_edges, read_evidence, signed_weights
from scdual.grn._evidence import EdgeEvidence
from scdual.grn._names import name_positions, unique_names
from scdual.grn._network import RegulatoryNetwork
from scdual.grn._pair_values import sealed

Matrix: TypeAlias = spmatrix | sparray | np.ndarray

_WITHOUT_EDGE = {"weight": 0.0, "sd": np.nan, "support": 0.0, "q_value": 1.0, "n_cells": 0}  # pairs not in the table


def from_frame(
    frame: EdgeTable, targets: Iterable[str] | None = None, *, regulators: Iterable[str] | None = None
) -> RegulatoryNetwork:
    """Return the network of a table ``source, target, weight``.

    Parameters
    ----------
    frame
        One row per edge, as a DataFrame, a mapping of columns, or the path of a CSV or TSV file. Instead of signed weights,
        a strength such as ``importance`` and a ``sign``, or the sign alone will do. ``sd`` and ``support``, with
        ``q_value`` and ``n_cells`` where there, become the evidence (:class:`EdgeEvidence`); of pairs that are not in the
        table it is nan, 0, 1 and 0. Further columns are ignored.
    targets
        Names of the columns, in order; ``None`` means the targets of the table, sorted.
    regulators
        Names of the rows, in order; ``None`` means the sources of the table, sorted.

    Raises
    ------
    TypeError
        If it is no table.
    ValueError
        If a column is missing, a sign is unknown, a pair occurs twice, a name is unknown, a value of the evidence is
        missing or out of its range, or the network is not valid.
    """
    table = as_table(frame, role="table")  # once, for it may be a file
    edges, evidence = read_edges(table), read_evidence(table)
    check_no_repeats(edges, role="table")
    source, target = pd.Index(edges["source"]), pd.Index(edges["target"])
    rows = unique_names(source.unique().sort_values() if regulators is None else regulators, role="regulators")
    columns = unique_names(target.unique().sort_values() if targets is None else targets, role="targets")
    row = name_positions(source, rows, role="sources of the table", where="`regulators`")
    column = name_positions(target, columns, role="targets of the table", where="`targets`")
    values = {"weight": signed_weights(edges, role="table"), **evidence}
    matrices = {
        name: np.full((len(rows), len(columns)), _WITHOUT_EDGE[name], found.dtype) for name, found in values.items()
    }
    for name, found in values.items():
        matrices[name][row, column] = found
    weight = matrices.pop("weight")
    return RegulatoryNetwork(weight, rows, columns, evidence=EdgeEvidence(**matrices) if matrices else None)


def from_varp(
    matrix: Matrix,
    var_names: Iterable[str],
    *,
    group: str | None = None,
    sd: Matrix | None = None,
    support: Matrix | None = None,
) -> RegulatoryNetwork:
    """Return the network of a ``varp`` matrix, row = regulator; all genes are targets, genes with edges regulators.

    Parameters
    ----------
    matrix
        Signed weights, shape ``(n_vars, n_vars)``, sparse or dense. It is not changed.
    var_names
        Names of the ``n_vars`` genes.
    group
        Name of the group of cells.
    sd, support
        Evidence for the edges (:class:`EdgeEvidence`), as :meth:`~scdual.model.SCDual.annotate` leaves it beside the weights:
        both or neither, in the shape of ``matrix``.

    Raises
    ------
    TypeError
        If a matrix holds no real numbers.
    ValueError
        If a shape does not fit ``var_names``, ``sd`` and ``support`` do not come together, the evidence of an edge is
        missing or out of its range, or the network is not valid.
    """
    names = unique_names(var_names, role="var_names")
    given = {name: values for name, values in (("sd", sd), ("support", support)) if values is not None}
    if len(given) == 1:
        msg = f"Only {listed(given)} of the evidence is given, expected both `sd` and `support`, or neither. Pass both."
        raise ValueError(msg)
    stored = csr_matrix(_checked(matrix, names, role="matrix"))
    given = {name: _checked(values, names, role=name) for name, values in given.items()}
    row = np.flatnonzero(np.diff(stored.indptr))  # make only these rows dense
    weight = stored[row].toarray()
    keep_mask = (weight != 0).any(axis=1)  # a stored row may hold zeros only
    if not keep_mask.all():
        row, weight = row[keep_mask], weight[keep_mask]
    evidence = {name: sealed(_dense_rows(values, row, fill=_WITHOUT_EDGE[name])) for name, values in given.items()}
    return RegulatoryNetwork(sealed(weight), names[row], names, group, EdgeEvidence(**evidence) if evidence else None)


def _checked(matrix: Matrix, names: pd.Index, *, role: str) -> Matrix:
    """Return a matrix of real numbers with one row and one column per gene; what is not sparse as an array."""
    if np.shape(matrix) != (len(names), len(names)):
        msg = (
            f"`{role}` has shape {np.shape(matrix)}, expected {(len(names), len(names))} for {len(names)} `var_names`. "
            "Pass the `varp` matrix and the `var_names` of the same AnnData object."
        )
        raise ValueError(msg)
    if not issparse(matrix):
        matrix = np.asarray(matrix)
    if matrix.dtype.kind not in "biuf":
        msg = f"`{role}` is of type {matrix.dtype}, expected real numbers. Convert it, e.g. with `astype('float32')`."
        raise TypeError(msg)
    return matrix


def _dense_rows(matrix: Matrix, row: np.ndarray, *, fill: float) -> np.ndarray:
    """Return these rows, with ``fill`` where a sparse matrix stores nothing; a stored 0 stays 0."""
    if not issparse(matrix):
        return matrix[row]
    part = csr_matrix(matrix)[row].tocoo()
    part.sum_duplicates()
    rows = np.full(part.shape, fill, np.result_type(part.dtype, np.float32))
    rows[part.row, part.col] = part.data
    return rows


def from_attention_layout(
    weight_tr: np.ndarray, regulators: Iterable[str], targets: Iterable[str], *, group: str | None = None
) -> RegulatoryNetwork:
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
    weight_tr = np.asarray(weight_tr)
    rows, columns = unique_names(regulators, role="regulators"), unique_names(targets, role="targets")
    if weight_tr.shape != (len(columns), len(rows)):
        msg = (
            f"`weight_tr` has shape {weight_tr.shape}, expected {(len(columns), len(rows))}: one row per target, "
            "one column per regulator. If the rows are regulators, use `RegulatoryNetwork`."
        )
        raise ValueError(msg)
    return RegulatoryNetwork(weight_tr.T, rows, columns, group)  # (R, T)
