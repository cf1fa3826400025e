"""List the regulons of a network.

Dimension key
    E  edges
"""

import numpy as np
import pandas as pd

from scdual._checks import check_whole
from scdual.grn import RegulatoryNetwork
from scdual.grn._symbols import GeneSymbols
from scdual.tl._as_network import as_network
from scdual.tl._rank_regulators import rank_regulators


def regulons(
    network: RegulatoryNetwork | pd.DataFrame, *, top: int | None = None, gene_symbols: GeneSymbols | None = None
) -> pd.DataFrame:
    """Return the regulons: per regulator the targets it activates, then those it represses.

    The strongest regulator comes first, and within a regulon the strongest target; ties are ordered by name.
    ``regulons(network.top(2000))`` takes the strongest edges of the whole network instead of those of each regulator.
    Two regulators are usually in each other's regulons, for expression alone does not tell which of them acts.

    Parameters
    ----------
    network
        The network, or its table ``source, target, weight``.
    top
        Number of targets to keep per regulon; ``None`` keeps all.
    gene_symbols
        Where genes are ids: their symbols, as in :meth:`~scdual.grn.RegulatoryNetwork.to_frame`.

    Returns
    -------
    Table ``source, target, weight, sign, rank`` with one row per edge, ``(E, 5)``; evidence stands between weight and
    sign, as in :meth:`~scdual.grn.RegulatoryNetwork.to_frame`. A regulon is the rows of one
    ``source`` and one ``sign`` (1 activates, -1 represses), numbered from 1 by ``rank``. decoupler and networkx read
    the table as it is.

    Raises
    ------
    TypeError
        If ``network`` is neither a network nor a table, ``top`` no whole number, or ``gene_symbols`` no symbols.
    KeyError
        If there is no such column of symbols.
    ValueError
        If the table is no network, ``top`` is negative, or no gene has a symbol.
    """
    check_whole("top", top, at_least=0, optional=True)
    network = as_network(network)
    edges = network.to_frame(gene_symbols=gene_symbols)  # (E, 3) or wider, the strongest first
    edges["sign"] = np.sign(edges["weight"]).astype(np.int64)
    edges["rank"] = edges.groupby(["source", "sign"]).cumcount() + 1
    if top is not None:
        edges = edges[edges["rank"] <= top]
    place = rank_regulators(network)["rank"]
    order = np.lexsort((edges["rank"], -edges["sign"], edges["source"].map(place)))
    return edges.iloc[order].reset_index(drop=True)
