"""Put what is known of pairs into a network: weights, and how sure they are.

Dimension key
    G  genes      R  regulators
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from scdual.grn import EdgeEvidence, RegulatoryNetwork, edge_evidence, q_values
from scdual.module.map import Pairs


def with_evidence(
    network: RegulatoryNetwork,
    pairs: Pairs,
    members: Sequence[Pairs] = (),
    null: Pairs | None = None,
    is_kept: np.ndarray | None = None,
) -> RegulatoryNetwork:
    """Return the network of pairs with their evidence, that of members and of permuted genes if there are any.

    Parameters
    ----------
    network
        The weights of the pairs.
    pairs
        What is known of them, each part ``(G, R)``.
    members, null
        The same of the members of an ensemble, and of permuted genes.
    is_kept
        Targets that q values count, ``(G,)``; None counts all.
    """
    is_edge, n_cells = network.weight != 0, pairs.n_cells.T
    counted = 1 if is_kept is None else is_kept  # among all pairs, by target
    if null is None:
        q_value = np.where(is_edge, q_values(pairs.z.T * counted), 1.0)
        return replace(network, evidence=EdgeEvidence(pairs.sd.T, pairs.support.T, q_value, n_cells))
    found = edge_evidence(
        network.weight,
        np.stack([member.weight.T for member in members]),
        null.z.T * counted,
        strength=np.abs(pairs.z.T) * is_edge * counted,
    )
    return replace(network, evidence=found._replace(n_cells=n_cells))
