"""Check that there is an edge to draw."""

from scdual.grn import RegulatoryNetwork


def check_any_edge(*networks: RegulatoryNetwork) -> None:
    """Raise ``ValueError`` unless one of the networks has an edge."""
    if not any(network.n_edges for network in networks):
        msg = (
            f"Found no edge to draw in {' and '.join(map(repr, networks))}, expected one or more. Pass other networks."
        )
        raise ValueError(msg)
