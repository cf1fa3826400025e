"""The networks of a file as a report shows them: regulators, their regulons, and edges with their evidence.

Dimension key
    C  cells      G  genes      E  edges
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.sparse import csc_matrix

from scdual._constants import RESULT_KEYS
from scdual.grn import RegulatoryNetwork
from scdual.tl import rank_regulators, regulons

MIN_SUPPORT = 0.95  # of the edges that count for a ranking: one sign in twenty may be wrong
N_STRONG = 2000  # edges that count for a ranking; the many weak ones would add up
N_REGULATORS = 10
N_TARGETS = 8  # of one sign in a regulon
N_DRAWN = 300  # edges the graph has at hand

Edge = tuple[str, str, float, float | None, float | None, int | None]
"""Source, target, weight, sd, support, n_cells; None where the file does not say."""


class Regulator(NamedTuple):
    """A regulator among the strongest of a network."""

    name: str
    n_cells: int | None  # that express it
    strength: float
    n_activated: int
    n_repressed: int
    edges: list[Edge]  # its strongest, those that activate first


class NetworkPart(NamedTuple):
    """What a report says about one network."""

    name: str
    n_cells: int | None
    n_edges: int
    n_sure: int | None  # edges whose sign has the least support; None without evidence
    regulators: list[Regulator]
    drawn: list[Edge]  # the strongest


class Expressed:
    """Count the cells of a file that express genes; None where the counts the model saw are not in the file.

    Parameters
    ----------
    adata
        The file.
    layer
        Layer with the counts; None means ``X``.
    """

    def __init__(self, adata: AnnData, layer: str | None) -> None:
        self.genes = adata.var_names
        self.is_expressed: csc_matrix | None = None  # (C, G)
        stored = adata.X if layer is None else adata.layers.get(layer)
        if stored is None or RESULT_KEYS.N_CELLS not in adata.var:
            return
        is_expressed = csc_matrix(stored) > 0
        n_cells = np.asarray(is_expressed.sum(axis=0)).ravel()
        if np.array_equal(n_cells, adata.var[RESULT_KEYS.N_CELLS]):  # else these are other cells or other values
            self.is_expressed = is_expressed.astype(np.int32)

    def both(self, edges: pd.DataFrame, cells: np.ndarray | None) -> list[int | None]:
        """Return for each edge the number of cells, of those at these positions, that express both genes."""
        if self.is_expressed is None or cells is None:
            return [None] * len(edges)
        columns = self.is_expressed.tocsr()[cells].tocsc()
        source, target = (columns[:, self.genes.get_indexer(edges[name])] for name in ("source", "target"))
        return [int(n) for n in np.asarray(source.multiply(target).sum(axis=0)).ravel()]


def network_part(
    network: RegulatoryNetwork, name: str, *, cells: np.ndarray | None, expressed: Expressed
) -> NetworkPart:
    """Return what a report says about a network.

    Parameters
    ----------
    network
        The network.
    name
        What the page calls it.
    cells
        Positions of its cells, None if they are not known.
    expressed
        Which cell expresses which gene.
    """
    sure = None if network.evidence is None else network.supported(MIN_SUPPORT)
    strong = strong_edges(network)
    ranking = rank_regulators(strong)
    ranking = ranking[ranking["strength"] > 0].head(N_REGULATORS)
    edges = regulons(strong, top=N_TARGETS)
    edges = _with_cells(edges[edges["source"].isin(ranking.index)], cells, expressed)
    seen = dict(zip(ranking.index, _of_one(ranking.index, cells, expressed), strict=True))
    return NetworkPart(
        name=name,
        n_cells=None if cells is None else len(cells),
        n_edges=network.n_edges,
        n_sure=None if sure is None else sure.n_edges,
        regulators=[_regulator(row, seen[row.Index], edges) for row in ranking.itertuples()],
        drawn=_rows(_with_cells(network.to_frame(N_DRAWN), cells, expressed)),
    )


def strong_edges(network: RegulatoryNetwork) -> RegulatoryNetwork:
    """Return the strongest edges, of those whose sign is sure where that is known."""
    return (network if network.evidence is None else network.supported(MIN_SUPPORT)).top(N_STRONG)


def _regulator(row: Any, n_cells: int | None, edges: pd.DataFrame) -> Regulator:
    own = edges[edges["source"] == row.Index]
    return Regulator(row.Index, n_cells, float(row.strength), int(row.n_activated), int(row.n_repressed), _rows(own))


def _of_one(genes: pd.Index, cells: np.ndarray | None, expressed: Expressed) -> list[int | None]:
    """Return the number of cells that express each gene."""
    return expressed.both(pd.DataFrame({"source": genes, "target": genes}), cells)


def _with_cells(edges: pd.DataFrame, cells: np.ndarray | None, expressed: Expressed) -> pd.DataFrame:
    return edges.assign(n_cells=pd.Series(expressed.both(edges, cells), edges.index, dtype=object))


def _rows(edges: pd.DataFrame) -> list[Edge]:
    """Return edges as plain rows, rounded as far as they are shown."""
    nothing = [None] * len(edges)
    numbers = [edges[name].astype(float).round(4).tolist() for name in ("weight", "sd", "support") if name in edges]
    weight, sd, support = numbers if len(numbers) == 3 else (*numbers, nothing, nothing)
    return list(zip(edges["source"], edges["target"], weight, sd, support, edges["n_cells"], strict=True))
