"""Rank regulators by the strength of their edges."""

import numpy as np
import pandas as pd

from scdual.grn import RegulatoryNetwork
from scdual.grn._strength import regulator_strength
from scdual.grn._symbols import GeneSymbols, symbols_of
from scdual.tl._as_network import as_network


def rank_regulators(
    network: RegulatoryNetwork | pd.DataFrame, *, gene_symbols: GeneSymbols | None = None
) -> pd.DataFrame:
    """Return one row per regulator, the strongest first, ties by name.

    In a map of all pairs the many weak edges add up. ``rank_regulators(network.top(2000))`` ranks by the strong ones.

    Parameters
    ----------
    network
        The network, or its table ``source, target, weight``.
    gene_symbols
        Where genes are ids: their symbols, as in :meth:`~scdual.grn.RegulatoryNetwork.to_frame`, for a column ``symbol``.

    Returns
    -------
    Table with the index ``regulator``, shape ``(R, 6)`` or, with ``symbol`` in front, ``(R, 7)``:

    * ``rank`` - from 1
    * ``strength`` - sum of the absolute weights, that is activation + repression
    * ``activation``, ``repression`` - the part of the edges of one sign, not negative
    * ``n_activated``, ``n_repressed`` - number of targets of one sign

    Raises
    ------
    TypeError
        If ``network`` is neither a network nor a table, or ``gene_symbols`` no symbols.
    KeyError
        If there is no such column of symbols.
    ValueError
        If the table is no network, or no gene has a symbol.
    """
    network = as_network(network)
    table = regulator_strength(network).rename_axis("regulator")
    row = network.regulators.get_indexer(table.index)
    table.insert(0, "rank", np.arange(1, len(table) + 1))
    table["n_activated"] = np.count_nonzero(network.weight > 0, axis=1)[row]
    table["n_repressed"] = np.count_nonzero(network.weight < 0, axis=1)[row]
    if gene_symbols is not None:
        table.insert(0, "symbol", symbols_of(table.index, gene_symbols, network.var).to_numpy())
    return table
