"""Rank regulators by the strength of their edges.

Dimension key
    R  regulators      T  targets
"""

import math

import numpy as np
import pandas as pd

from scdual.grn import RegulatoryNetwork
from scdual.tl._as_network import as_network


def rank_regulators(network: RegulatoryNetwork | pd.DataFrame) -> pd.DataFrame:
    """Return one row per regulator, the strongest first, ties by name.

    In a map of all pairs the many weak edges add up. ``rank_regulators(network.top(2000))`` ranks by the strong ones.

    Parameters
    ----------
    network
        The network, or its table ``source, target, weight``.

    Returns
    -------
    Table with the index ``regulator``, shape ``(R, 6)``:

    * ``rank`` - from 1
    * ``strength`` - sum of the absolute weights, that is activation + repression
    * ``activation``, ``repression`` - the part of the edges of one sign, not negative
    * ``n_activated``, ``n_repressed`` - number of targets of one sign

    Raises
    ------
    TypeError
        If ``network`` is neither a network nor a table.
    ValueError
        If the table is no network.
    """
    network = as_network(network)
    weight = network.weight  # (R, T)
    activation, repression = _exact_sums(np.maximum(weight, 0)), _exact_sums(np.maximum(-weight, 0))  # (R,), (R,)
    columns = {
        "strength": activation + repression,
        "activation": activation,
        "repression": repression,
        "n_activated": np.count_nonzero(weight > 0, axis=1),
        "n_repressed": np.count_nonzero(weight < 0, axis=1),
    }
    table = pd.DataFrame(columns, index=network.regulators.rename("regulator")).sort_index()
    table = table.sort_values("strength", ascending=False, kind="stable")
    table.insert(0, "rank", np.arange(1, len(table) + 1))
    return table


def _exact_sums(values: np.ndarray) -> np.ndarray:
    """Return the sum of each row, the same to the last digit in whatever order the genes stand."""
    return np.array([math.fsum(row[row != 0].tolist()) for row in values], dtype=np.float64)
