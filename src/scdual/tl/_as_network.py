"""Take a network, or the table of its edges."""

import pandas as pd

from scdual.grn import RegulatoryNetwork, from_frame
from scdual.grn._network import check_network


def as_network(network: RegulatoryNetwork | pd.DataFrame) -> RegulatoryNetwork:
    """Return a network as it is, and a table ``source, target, weight`` as a network.

    Raises
    ------
    TypeError
        If it is neither.
    ValueError
        If the table is no network.
    """
    return from_frame(network) if isinstance(network, pd.DataFrame) else check_network(network)
