"""Sum the weights of each regulator.

Dimension key
    R  regulators      T  targets
"""

import math

import numpy as np
import pandas as pd

from scdual.grn._network import RegulatoryNetwork


def regulator_strength(network: RegulatoryNetwork) -> pd.DataFrame:
    """Return ``strength, activation, repression``, one row per regulator, the strongest first, ties by name.

    The sums are the same to the last digit in whatever order the genes stand.

    Parameters
    ----------
    network
        The network.
    """
    weight = network.weight  # (R, T)
    activation, repression = _exact_sums(np.maximum(weight, 0)), _exact_sums(np.maximum(-weight, 0))  # (R,), (R,)
    columns = {"strength": activation + repression, "activation": activation, "repression": repression}
    table = pd.DataFrame(columns, index=network.regulators).sort_index()
    return table.sort_values("strength", ascending=False, kind="stable")


def _exact_sums(values: np.ndarray) -> np.ndarray:
    return np.array([math.fsum(row[row != 0].tolist()) for row in values], dtype=np.float64)
