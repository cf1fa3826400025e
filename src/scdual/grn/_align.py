"""Bring two networks onto the same regulators and targets."""

from scdual._checks import listed
from scdual.grn._names import naming_advice
from scdual.grn._network import RegulatoryNetwork, check_network


def align_networks(first: RegulatoryNetwork, second: RegulatoryNetwork) -> tuple[RegulatoryNetwork, RegulatoryNetwork]:
    """Return both networks on the regulators and on the targets they share, by name, in the order of the first.

    A pair that only one network could have is left out, for its absence from the other says nothing.

    Parameters
    ----------
    first, second
        The networks.

    Raises
    ------
    TypeError
        If one of them is no network.
    ValueError
        If they share no regulator or no target.
    """
    first, second = check_network(first), check_network(second)
    regulators = first.regulators[first.regulators.isin(second.regulators)]
    targets = first.targets[first.targets.isin(second.targets)]
    if regulators.empty or targets.empty:
        msg = (
            f"The networks share {len(regulators)} regulators and {len(targets)} targets, expected some of both; the "
            f"first has {listed(first.targets[:3])}, the second {listed(second.targets[:3])}. "
            f"{naming_advice(first.targets, second.targets)}"
        )
        raise ValueError(msg)
    return first.subset(regulators, targets), second.subset(regulators, targets)
