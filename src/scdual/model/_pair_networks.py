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
    *,
    with_q_values: bool = True,
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
    with_q_values
        Whether the evidence of a single map has them.
    """
    is_edge, n_cells = network.weight != 0, pairs.n_cells.T
    if null is None:
        evidence = EdgeEvidence(pairs.sd.T, pairs.support.T, n_cells=n_cells)
        if with_q_values:
            z = pairs.z.T if is_kept is None else pairs.z.T * is_kept  # among all pairs, by target
            evidence = evidence._replace(q_value=q_values(z, is_edge))
        return replace(network, evidence=evidence)
    counted = 1 if is_kept is None else is_kept
    found = edge_evidence(
        network.weight,
        np.stack([member.weight.T for member in members]),
        null.z.T * counted,
        strength=np.abs(pairs.z.T) * is_edge * counted,
    )
    return replace(network, evidence=found._replace(n_cells=n_cells))
