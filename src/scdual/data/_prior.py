"""Align a table of known edges with the genes of a data set.

Inside tensors row = target, column = regulator.

Dimension key
    T  target genes      R  regulator genes      E  edges of the table
"""

from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd

from scdual._checks import listed
from scdual._warning import warn
from scdual.grn._edges import EdgeTable, check_no_repeats, check_strengths, read_edges, spell_edges
from scdual.grn._names import naming_advice, unique_names

_N_EXAMPLES = 3


@dataclass(frozen=True, eq=False)
class PriorNetwork:
    """Edges known before training, aligned with the genes.

    Attributes
    ----------
    strength
        Absolute weight of each edge between 0 (no edge) and 1, float32 ``(T, R)``.
    sign
        1 activates, -1 represses, 0 unknown or no edge, float32 ``(T, R)``.
    n_used
        Edges taken from the table.
    n_unknown_source, n_unknown_target, n_not_regulator, n_self
        Edges left out: their source, else their target, is not a gene of the data; their source is a gene but no
        regulator; they lead from a gene to itself. Each edge is counted once, under the first that applies.
    """

    strength: np.ndarray
    sign: np.ndarray
    n_used: int
    n_unknown_source: int
    n_unknown_target: int
    n_not_regulator: int
    n_self: int


def align_prior(prior: EdgeTable, gene_names: Iterable[str], regulator_index: np.ndarray) -> PriorNetwork:
    """Return the edges of a table as matrices of target by regulator, aligned by name.

    Weights are divided by the largest absolute weight of the whole table, so that an edge keeps its strength whichever
    genes the data hold. A column ``strength`` of values up to 1 is taken as it is.

    Parameters
    ----------
    prior
        One row per edge, ``(E, 2)`` or more, with the columns that :func:`scdual.grn._edges.read_edges` understands.
    gene_names
        Names of all genes, ``(T,)``, written as in the table, but for versions of Ensembl ids.
    regulator_index
        Positions of the regulators among the genes, ``(R,)``; they give the order of the columns.

    Raises
    ------
    TypeError
        If the prior is no table.
    ValueError
        If columns or names are missing, weights are zero or not finite, an edge or a gene name is repeated, or no edge
        can be used.
    """
    edges = read_edges(prior, role="prior")
    check_strengths(edges, role="prior")
    genes = unique_names(gene_names, role="var_names")
    edges = spell_edges(edges, genes, role="prior")
    check_no_repeats(edges, role="prior")
    source, target = genes.get_indexer(edges["source"]), genes.get_indexer(edges["target"])  # (E,), -1 where unknown
    column_of_gene = np.full(len(genes), -1)
    column_of_gene[regulator_index] = np.arange(len(regulator_index))

    unknown_source = source < 0
    unknown_target = ~unknown_source & (target < 0)
    known = (source >= 0) & (target >= 0)
    not_regulator = known & (column_of_gene[source] < 0)
    is_self = known & ~not_regulator & (source == target)
    used = known & ~not_regulator & ~is_self

    largest = 1.0 if _is_relative(prior) else edges["strength"].max()
    strength, sign = edges["strength"].to_numpy() / largest, edges["sign"].to_numpy()
    rows, columns = target[used], column_of_gene[source[used]]
    network = PriorNetwork(
        strength=_matrix(strength[used], rows, columns, (len(genes), len(regulator_index))),
        sign=_matrix(sign[used], rows, columns, (len(genes), len(regulator_index))),
        n_used=int(used.sum()),
        n_unknown_source=int(unknown_source.sum()),
        n_unknown_target=int(unknown_target.sum()),
        n_not_regulator=int(not_regulator.sum()),
        n_self=int(is_self.sum()),
    )
    if network.n_used == 0:
        raise ValueError(_no_edge_message(network, edges, genes, genes[regulator_index]))
    if network.n_used < len(edges):
        warn(_dropped_message(network, len(edges)))
    return network


def prior_table(prior: PriorNetwork, gene_names: list[str], regulators: list[str]) -> dict[str, list[Any]]:
    """Return the edges in use as the columns of a table, of which :func:`align_prior` makes the same network."""
    target, regulator = np.nonzero(prior.strength)
    return {
        "source": [regulators[i] for i in regulator],
        "target": [gene_names[i] for i in target],
        "strength": prior.strength[target, regulator].tolist(),
        "sign": prior.sign[target, regulator].astype(int).tolist(),
    }


def _is_relative(prior: EdgeTable) -> bool:
    """Return whether strengths are relative already, as in :func:`prior_table`, which may lack the largest edge."""
    if isinstance(prior, str | PathLike) or "strength" not in prior or "weight" in prior:
        return False
    return bool(np.max(prior["strength"], initial=0) <= 1)


def _matrix(values: np.ndarray, rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    matrix = np.zeros(shape, dtype=np.float32)  # (T, R)
    matrix[rows, columns] = values
    return matrix


def _counts(network: PriorNetwork) -> str:
    return (
        f"{network.n_unknown_source} with an unknown source, {network.n_unknown_target} with an unknown target, "
        f"{network.n_not_regulator} from genes that are not regulators, {network.n_self} from a gene to itself"
    )


def _dropped_message(network: PriorNetwork, n_edges: int) -> str:
    return (
        f"{network.n_used} of {n_edges} edges of the prior are used; left out: {_counts(network)}. "
        "If you expected more, check that the prior and the data name genes alike, and the choice of regulators."
    )


def _no_edge_message(network: PriorNetwork, edges: pd.DataFrame, genes: pd.Index, regulators: pd.Index) -> str:
    pairs = [f"{source} -> {target}" for source, target in edges[["source", "target"]].head(_N_EXAMPLES).to_numpy()]
    advice = naming_advice(pd.unique(edges[["source", "target"]].to_numpy().ravel()), genes)
    return (
        f"None of the {len(edges)} edges of the prior can be used: {_counts(network)}. "
        f"The prior looks like {pairs}, the genes like {listed(genes[:_N_EXAMPLES])}, the regulators like "
        f"{listed(regulators[:_N_EXAMPLES])}. {advice}"
    )
