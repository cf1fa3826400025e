"""What changes between conditions: the result of a comparison.

Dimension key
    E  pairs that were compared      R  regulators
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from scdual._checks import check_choice, check_share
from scdual.grn._network import RegulatoryNetwork
from scdual.grn._symbols import GeneSymbols, unique_symbols

FDR = 0.05  # the usual false discovery rate


@dataclass(frozen=True, eq=False, repr=False)
class ConditionComparison:
    """Hold the edges and the regulators that differ between conditions, the surest first.

    Differences are those of a condition from the reference: above zero where the condition has more.

    Parameters
    ----------
    edges
        Table ``source, target, difference, se, z, p_value, q_value``, one row per pair that could be compared. ``difference``
        is in standard deviations of the target per standard deviation of the regulator.
    regulators
        Table ``regulator, activity_difference, se, p_value, q_value, n_changed_targets, expression_difference,
        expression_q_value``. Differences of activity, and of the regulator's own expression, are in standard deviations
        among cells of one condition (and donor). ``n_changed_targets`` counts its edges with a q value of at most 0.05.
    units
        Table ``condition, donor, n_cells`` of what was compared; without donors, ``donor`` is missing.
    reference
        Condition that the others are compared with.
    notes
        Sentences on what the p values speak for.

    Notes
    -----
    With groups all tables begin with a column ``group``, and with more than two conditions ``edges`` and ``regulators``
    have a column ``condition``. q values are those of Benjamini and Hochberg :cite:p:`Benjamini95` within one group and
    condition.
    """

    edges: pd.DataFrame
    regulators: pd.DataFrame
    units: pd.DataFrame
    reference: str
    notes: Sequence[str] = ()

    def __repr__(self) -> str:
        n_edges, n_regulators = ((table["q_value"] <= FDR).sum() for table in (self.edges, self.regulators))
        lines = [
            f"ConditionComparison of {', '.join(self.conditions)} with {self.reference}"
            + (f" in {len(self.groups)} groups" if self.groups else ""),
            f"  edges that change (q <= {FDR}): {n_edges:,} of {len(self.edges):,}",
            f"  regulators that change (q <= {FDR}): {n_regulators:,} of {len(self.regulators):,}",
        ]
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])

    @property
    def conditions(self) -> list[str]:
        """The conditions that are compared with the reference."""
        return [name for name in self.units["condition"].unique() if name != self.reference]

    @property
    def groups(self) -> list[str]:
        """The groups of cells within which conditions are compared; empty if all cells are taken together."""
        return list(self.units["group"].unique()) if "group" in self.units else []

    def select(self, group: str | None = None, condition: str | None = None) -> "ConditionComparison":
        """Return the comparison of one group and one condition.

        Parameters
        ----------
        group
            Name of the group; may be left out if there is one.
        condition
            Name of the condition; may be left out if there is one beside the reference.

        Raises
        ------
        ValueError
            If the name is not there, or there are several and none is named.
        """
        chosen = {
            "group": _only("group", group, self.groups or [None]),
            "condition": _only("condition", condition, self.conditions),
        }
        tables = {"edges": self.edges, "regulators": self.regulators}
        for name, value in chosen.items():
            tables = {key: table[table[name] == value] if name in table else table for key, table in tables.items()}
        units = self.units if chosen["group"] is None else self.units[self.units["group"] == chosen["group"]]
        units = units[units["condition"].isin([self.reference, chosen["condition"]])]
        reset = {key: table.reset_index(drop=True) for key, table in {**tables, "units": units}.items()}
        return replace(self, **reset)

    def with_symbols(self, gene_symbols: GeneSymbols) -> "ConditionComparison":
        """Return the comparison with symbols as the names of its genes.

        A gene without a symbol keeps its name; where several genes share one, the name stands behind it.

        Parameters
        ----------
        gene_symbols
            Symbols by gene name, such as ``adata.var["gene_symbols"]``.

        Raises
        ------
        TypeError
            If it is something else.
        ValueError
            If no gene has a symbol, or a name occurs twice.
        """
        parts = [self.edges["source"], self.edges["target"], self.regulators["regulator"]]
        genes = pd.Index(pd.concat(parts).unique())
        symbol = dict(zip(genes, unique_symbols(genes, gene_symbols, None), strict=True))
        edges = self.edges.assign(**{name: self.edges[name].map(symbol) for name in ("source", "target")})
        regulators = self.regulators.assign(regulator=self.regulators["regulator"].map(symbol))
        return replace(self, edges=edges, regulators=regulators)

    def network(self, fdr: float = FDR, *, group: str | None = None, condition: str | None = None) -> RegulatoryNetwork:
        """Return the network of the differences that pass, of one group and one condition.

        Parameters
        ----------
        fdr
            Largest q value of an edge.
        group, condition
            As in :meth:`select`.

        Raises
        ------
        ValueError
            As in :meth:`select`, or if ``fdr`` is not between 0 and 1.
        """
        check_share("fdr", fdr)
        one = self.select(group, condition)
        sources, targets = (pd.Index(sorted(one.edges[name].unique())) for name in ("source", "target"))
        passing = one.edges[one.edges["q_value"] <= fdr]
        weight = np.zeros((len(sources), len(targets)))
        rows, columns = sources.get_indexer(passing["source"]), targets.get_indexer(passing["target"])
        weight[rows, columns] = passing["difference"]
        return RegulatoryNetwork(weight, sources, targets, one.groups[0] if one.groups else None)


def _only(name: str, value: str | None, choices: Sequence[str | None]) -> str | None:
    """Return the value, or the only choice."""
    if value is None and len(choices) > 1:
        msg = f"`{name}` is None, but the comparison has several, {list(choices)}; name one of these."
        raise ValueError(msg)
    if value is not None and choices == [None]:
        msg = f"`{name}` is {value!r}, but the comparison has no {name}s. Leave it out."
        raise ValueError(msg)
    if value is not None:
        check_choice(name, value, choices)
    return choices[0] if value is None else value
