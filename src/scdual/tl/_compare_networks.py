"""Compare the edges of two networks.

Dimension key
    E  edges
"""

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, norm

from scdual._checks import check_whole
from scdual.grn import RegulatoryNetwork, align_networks


def compare_networks(first: RegulatoryNetwork, second: RegulatoryNetwork, *, top: int | None = None) -> pd.DataFrame:
    r"""Return the edges of two networks side by side, the surest difference first, ties by source, then target.

    Genes are aligned by name. Only pairs of a regulator and a target that both networks know are compared, because a
    gene that one network never saw has no weight there, not the weight 0. Between them, no edge is the weight 0.

    Where both networks know the ``sd`` of their edges, a difference d is tested by

    .. math:: z = d / \sqrt{\mathrm{sd}_1^2 + \mathrm{sd}_2^2}

    Maps of groups are shrunk towards that of all cells, which they share, so this is cautious: it finds less than is
    there. Networks hold no cells, so nothing here can say whether donors agree. To ask what changes between conditions, with the
    donor as the unit, use :meth:`scdual.model.SCDual.compare_conditions` with ``donor_key=``.

    Parameters
    ----------
    first, second
        The networks, for example of two groups of cells or of two seeds.
    top
        Number of edges to keep; ``None`` keeps all.

    Returns
    -------
    Table ``source, target, weight_<first>, weight_<second>, difference``, of the edges that are in at least one network.
    The columns are named after the groups, or ``weight_first`` and ``weight_second`` if these are unknown or the same.
    ``difference`` is second minus first: above zero where the second pushes more upward or less downward. Of networks with
    an ``sd`` come ``se, z, p_value, q_value`` :cite:p:`Benjamini95`; without, the most different edges are first.

    Raises
    ------
    TypeError
        If something else than two networks is given, or ``top`` is no whole number.
    ValueError
        If the networks share no regulator or no target, or ``top`` is negative.
    """
    check_whole("top", top, at_least=0, optional=True)
    first, second = align_networks(first, second)
    row, column = np.nonzero((first.weight != 0) | (second.weight != 0))  # (E,), (E,)
    source, target = first.regulators.take(row), first.targets.take(column)
    before, after = first.weight[row, column], second.weight[row, column]
    name_before, name_after = _group_names(first, second)
    columns = {
        "source": source,
        "target": target,
        f"weight_{name_before}": before,
        f"weight_{name_after}": after,
        "difference": after - before,
    }
    size = np.abs(after - before)
    if first.evidence is not None and second.evidence is not None:
        se = np.hypot(first.evidence.sd[row, column], second.evidence.sd[row, column])
        z = np.divide(after - before, se, out=np.zeros(len(se)), where=se > 0)
        p_value = 2 * norm.sf(np.abs(z))
        columns |= {"se": se, "z": z, "p_value": p_value, "q_value": false_discovery_control(p_value)}
        size = np.abs(z)
    order = np.lexsort((_name_rank(target), _name_rank(source), -size))[:top]
    return pd.DataFrame(columns).iloc[order].reset_index(drop=True)


def _group_names(first: RegulatoryNetwork, second: RegulatoryNetwork) -> tuple[str, str]:
    """Return two different names."""
    names = first.group or "first", second.group or "second"
    return ("first", "second") if names[0] == names[1] else names


def _name_rank(names: pd.Index) -> np.ndarray:
    """Return the place of each name in the alphabet."""
    return pd.factorize(names, sort=True)[0]
