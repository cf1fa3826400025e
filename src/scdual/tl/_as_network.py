"""Take a network, or the table of its edges."""

import pandas as pd

from scdual.grn import RegulatoryNetwork, from_frame


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


def check_network(network: RegulatoryNetwork) -> RegulatoryNetwork:
    """Return the network.

    Raises
    ------
    TypeError
        If it is something else.
    """
    if isinstance(network, RegulatoryNetwork):
        return network
    advice = "Pass what `get_regulation` returns."
    if isinstance(network, dict):
        advice = f"Pass one of its values, such as that of {next(iter(network), None)!r}."
    if isinstance(network, pd.DataFrame):
        advice = (
            "Call `scdual.grn.from_frame(table, targets, regulators=regulators)` with all genes that were looked at, "
            "for a table does not say where an edge could have been."
        )
    msg = f"Found a {type(network).__name__}, expected a RegulatoryNetwork. {advice}"
    raise TypeError(msg)
