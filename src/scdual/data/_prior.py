"""Align a table of known edges with the genes of a data set.

Inside tensors row = target, column = regulator.

Dimension key
    T  target genes      R  regulator genes      E  edges of the table
"""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

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


def align_prior(prior: pd.DataFrame, gene_names: Iterable[str], regulator_index: np.ndarray) -> PriorNetwork:
    """Return the edges of a table as matrices of target by regulator, aligned by name.

    Weights are divided by the largest absolute weight of the whole table, so that an edge keeps its strength whichever
    genes the data hold. Without a ``weight`` column every edge has strength 1 and an unknown sign.

    Parameters
    ----------
    prior
        One row per edge with the columns ``source``, ``target`` and optionally ``weight``, as in decoupler; ``(E, 2)``
        or ``(E, 3)``. The sign of the weight is the sign of the regulation.
    gene_names
        Names of all genes, ``(T,)``, written as in the table.
    regulator_index
        Positions of the regulators among the genes, ``(R,)``; they give the order of the columns.

    Raises
    ------
    TypeError
        If the prior is not a DataFrame.
    ValueError
        If columns or names are missing, weights are zero or not finite, an edge or a gene name is repeated, or no edge
        can be used.
    """
    _check_edges(prior)
    genes = pd.Index([str(name) for name in gene_names])
    _check_unique(genes)
    source = genes.get_indexer(pd.Index(prior["source"].astype(str)))  # (E,), -1 where unknown
    target = genes.get_indexer(pd.Index(prior["target"].astype(str)))  # (E,)
    column_of_gene = np.full(len(genes), -1)
    column_of_gene[regulator_index] = np.arange(len(regulator_index))

    unknown_source = source < 0
    unknown_target = ~unknown_source & (target < 0)
    known = (source >= 0) & (target >= 0)
    not_regulator = known & (column_of_gene[source] < 0)
    is_self = known & ~not_regulator & (source == target)
    used = known & ~not_regulator & ~is_self

    strength, sign = _weights(prior)
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
        raise ValueError(_no_edge_message(network, prior, genes, genes[regulator_index]))
    if network.n_used < len(prior):
        warnings.warn(_dropped_message(network, len(prior)), UserWarning, stacklevel=2)
    return network


def _check_edges(prior: pd.DataFrame) -> None:
    if not isinstance(prior, pd.DataFrame):
        msg = f"Found a prior of type {type(prior).__name__}, expected a DataFrame. Read it with `pandas.read_csv`."
        raise TypeError(msg)
    missing = [column for column in ("source", "target") if column not in prior.columns]
    if missing:
        msg = (
            f"The prior has the columns {list(prior.columns)}, expected 'source', 'target' and optionally 'weight'; "
            f"{missing} missing. Rename the columns: source is the regulator, target the gene it acts on."
        )
        raise ValueError(msg)
    n_unnamed = int(prior[["source", "target"]].isna().any(axis=1).sum())
    if n_unnamed:
        msg = f"{n_unnamed} of {len(prior)} edges of the prior lack a source or target name. Drop or complete them."
        raise ValueError(msg)
    repeated = prior.loc[prior.duplicated(["source", "target"]), ["source", "target"]]
    if len(repeated):
        msg = (
            f"{len(repeated)} edges of the prior are repeated, e.g. {_pairs(repeated)}; expected each pair of source "
            "and target once. Merge them, e.g. `prior.groupby(['source', 'target'], as_index=False)['weight'].mean()`."
        )
        raise ValueError(msg)
    if "weight" in prior.columns:
        _check_weights(prior)


def _check_weights(prior: pd.DataFrame) -> None:
    if not pd.api.types.is_numeric_dtype(prior["weight"]):
        msg = f"The weights of the prior are of type {prior['weight'].dtype}, expected numbers. Convert the column."
        raise ValueError(msg)
    weight = prior["weight"].to_numpy(dtype=np.float64, na_value=np.nan)  # (E,)
    for is_bad, what in ((~np.isfinite(weight), "a weight that is not finite"), (weight == 0, "a weight of zero")):
        if is_bad.any():
            msg = (
                f"{int(is_bad.sum())} of {len(prior)} edges of the prior have {what}, e.g. {_pairs(prior[is_bad])}; "
                "expected positive weights for activation and negative ones for repression. "
                "Drop these edges, or leave out the weight column when no sign is known."
            )
            raise ValueError(msg)


def _check_unique(genes: pd.Index) -> None:
    repeated = genes[genes.duplicated()].unique()
    if len(repeated):
        msg = (
            f"{len(repeated)} gene names stand for several genes, e.g. {list(repeated[:_N_EXAMPLES])}; expected unique "
            "names to align the prior with. Call `adata.var_names_make_unique()` first."
        )
        raise ValueError(msg)


def _weights(prior: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return strength in (0, 1] and sign of the edges, each ``(E,)``."""
    if "weight" not in prior.columns or prior.empty:
        return np.ones(len(prior)), np.zeros(len(prior))
    weight = prior["weight"].to_numpy(dtype=np.float64)  # (E,)
    return np.abs(weight) / np.abs(weight).max(), np.sign(weight)


def _matrix(values: np.ndarray, rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    matrix = np.zeros(shape, dtype=np.float32)  # (T, R)
    matrix[rows, columns] = values
    return matrix


def _pairs(edges: pd.DataFrame) -> list[str]:
    head = edges.head(_N_EXAMPLES)
    return [f"{source} -> {target}" for source, target in zip(head["source"], head["target"], strict=True)]


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


def _no_edge_message(network: PriorNetwork, prior: pd.DataFrame, genes: pd.Index, regulators: pd.Index) -> str:
    return (
        f"None of the {len(prior)} edges of the prior can be used: {_counts(network)}. "
        f"The prior looks like {_pairs(prior)}, the genes like {list(genes[:_N_EXAMPLES])}, the regulators like "
        f"{list(regulators[:_N_EXAMPLES])}. Use the same identifiers (organism, symbols or Ensembl) in both."
    )
