"""What changes between conditions: edges and regulators, with the donor as the unit if there are donors.

Dimension key
    K  samples      G  genes      R  regulators      E  pairs that are compared
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scipy.stats import false_discovery_control

from scdual._checks import check_choice, check_column, listed
from scdual._warning import warn
from scdual.grn._comparison import FDR, ConditionComparison
from scdual.model._cells import check_cells
from scdual.model._groups import check_groupby, group_cells, group_names
from scdual.model._regulation import RegulationMixin
from scdual.model._samples import Design, design, sentences, unused_cells
from scdual.module.map import Difference, target_weights, unit_activity, unit_maps

_N_TARGETS = 50  # of a regulator, whose expression is its activity; 20 and 100 find the same regulators


class ConditionMixin(RegulationMixin):
    """Method of SCDual that compares conditions."""

    @torch.inference_mode()
    def compare_conditions(
        self,
        condition_key: str,
        groupby: str | Sequence[str] | None = None,
        donor_key: str | None = None,
        reference: str | None = None,
        *,
        adata: AnnData | MuData | None = None,
        batch_size: int | None = None,
    ) -> ConditionComparison:
        r"""Return which edges and which regulators differ between conditions, with their tests.

        **Edges.** Among the cells of each condition, or of each donor in it, the map departs from that of all of them, and
        each departure has a standard error, see :func:`~scdual.module.unit_maps`. Values are centred in each sample and
        genes have unit variance there, so a gene that is merely higher, or varies more, has no edge that changes. Pairs are
        compared where ``min_cells`` of either condition express both genes.

        **Regulators.** The activity of a regulator is the mean of its 50 strongest targets in the map of all cells,
        weighted by their signed weights. Its own expression is tested beside it.

        **Unit.** With ``donor_key`` it is the donor: donors in both conditions are compared with themselves, otherwise
        donors of one condition with those of the other, by a moderated t test, see :func:`~scdual.module.donor_test`. Without,
        it is the cell. Samples of fewer than 20 cells are left out, and, where donors are compared with themselves, donors of one
        condition only; a warning says so.

        Parameters
        ----------
        condition_key
            Column of ``obs`` with the conditions.
        groupby
            Column of ``obs``, or several, within whose groups conditions are compared, such as cell types.
        donor_key
            Column of ``obs`` with the donor, animal or culture of each cell, whatever was sampled independently.
        reference
            Condition that the others are compared with. None takes the first of two.
        adata
            Data with the genes of the model; None takes the data it was built with.
        batch_size
            Cells per minibatch.

        Raises
        ------
        RuntimeError
            If the model is not trained, or was saved before edges carried evidence.
        KeyError
            If a key is no column of ``obs``.
        ValueError
            If there is one condition only, several without a ``reference``, the reference is none of them, or no group
            has enough cells, or donors, of two conditions.
        """
        self._check_map_is_learnt()
        self._check_evidence()
        check_cells(adata, batch_size=batch_size)
        adata = self._validate_anndata(adata)
        condition, donor = _labels(condition_key, donor_key, groupby, adata.obs)
        conditions = _conditions(condition_key, condition, reference)
        groups = {None: np.arange(adata.n_obs)} if groupby is None else group_cells(groupby, adata.obs)
        designs: dict[Any, Design] = {}
        why_not: dict[Any, str] = {}
        for group, cells in groups.items():
            for other in conditions[1:]:
                found = design(cells, condition, donor, [conditions[0], other])
                if isinstance(found, str):
                    why_not[group, other] = found
                else:
                    designs[group, other] = found
        left_out = _left_out(why_not, designs, condition_key=condition_key, has_donors=donor is not None)
        unit, *limits = sentences(list(designs.values()), has_donors=donor is not None)
        told = list(filter(None, [left_out, *limits, unused_cells(groups, condition, donor, designs)]))
        for sentence in told:
            warn(sentence)
        tables = [
            self._compare(each, adata, batch_size, labels={"group": group, "condition": other})
            for (group, other), each in designs.items()
        ]
        drop = ["group"] * (groupby is None) + ["condition"] * (len(conditions) == 2)
        edges, regulators = (
            pd.concat(parts, ignore_index=True).drop(columns=drop) for parts in zip(*tables, strict=True)
        )
        units = _units(designs).drop(columns=["group"] * (groupby is None))
        return ConditionComparison(edges, regulators, units, conditions[0], [unit, *told])

    def _compare(
        self, chosen: Design, adata: AnnData | MuData, batch_size: int | None, *, labels: dict[str, Any]
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the tables of edges and of regulators of one comparison."""
        units = [self._batches(adata, sample.cells, batch_size) for sample in chosen.samples]
        edges = self._changed_edges(chosen, units)
        regulators = self._changed_regulators(chosen, units)
        changed = edges.loc[edges["q_value"] <= FDR, "source"].value_counts()
        place = list(regulators.columns).index("q_value") + 1
        n_changed = regulators["regulator"].map(changed).fillna(0).astype(int)
        regulators.insert(place, "n_changed_targets", n_changed)
        return tuple(_labelled(table, labels) for table in (edges, regulators))  # type: ignore[return-value]

    def _changed_edges(self, chosen: Design, units: list[Any]) -> pd.DataFrame:
        regulation_map = self.module.map
        found = unit_maps(
            regulation_map.values, units, regulation_map.known.weight, penalty=regulation_map.hiding.penalty
        )
        n_expressing = found.n_expressing.cpu().numpy()
        is_seen = np.all(
            [n_expressing[chosen.side == side].sum(0) >= regulation_map.min_cells for side in (0, 1)], axis=0
        )
        regulators = regulation_map.regulator_index.cpu().numpy()
        is_pair = is_seen[regulators][:, None] & is_seen  # (R, G)
        is_pair[np.arange(len(regulators)), regulators] = False
        is_pair &= (regulation_map.known.z != 0).T.cpu().numpy()  # none of genes with the same count in all cells
        row, column = np.nonzero(is_pair)
        departure, variance = (part.cpu().numpy()[:, column, row].astype(float) for part in found[:2])  # (K, E)
        names = {"source": pd.Index(self.regulators).take(row), "target": pd.Index(self.gene_names).take(column)}
        return _table(names, chosen.test(departure, variance) if len(row) else None, value="difference", has_z=True)

    def _changed_regulators(self, chosen: Design, units: list[Any]) -> pd.DataFrame:
        weight = torch.as_tensor(self._known(self.module.map).weight, device=self.module.map.known.weight.device)
        activity, expression = unit_activity(
            self.module.map.values, units, target_weights(weight, n_targets=_N_TARGETS)
        )
        shown = np.flatnonzero((weight != 0).any(0).cpu().numpy())
        tests = []
        for means in (activity, expression):
            mean, variance = (part.cpu().numpy()[:, shown] for part in means[:2])
            tests.append(chosen.test(mean, variance, most_borrowed=means.n_independent) if len(shown) else None)
        own = (
            {}
            if tests[1] is None
            else {"expression_difference": tests[1].difference, "expression_q_value": _q(tests[1])}
        )
        names = {"regulator": pd.Index(self.regulators).take(shown)}
        return _table(names, tests[0], value="activity_difference", more=own)


def _table(
    names: dict[str, pd.Index],
    found: Difference | None,
    *,
    value: str,
    has_z: bool = False,
    more: dict[str, np.ndarray] | None = None,
) -> pd.DataFrame:
    """Return differences and their tests as a table, the surest first."""
    found = Difference(*np.zeros((4, 0))) if found is None else found
    columns = {**names, value: found.difference, "se": found.se}
    columns |= {"z": found.statistic} if has_z else {}
    columns |= {"p_value": found.p_value, "q_value": _q(found), **(more or {})}
    order = np.lexsort((-np.abs(found.statistic), found.p_value))
    return pd.DataFrame(columns).iloc[order].reset_index(drop=True)


def _q(found: Difference) -> np.ndarray:
    return false_discovery_control(found.p_value) if len(found.p_value) else found.p_value


def _labelled(table: pd.DataFrame, labels: dict[str, Any]) -> pd.DataFrame:
    return table.assign(**labels)[[*labels, *table.columns]]


def _labels(
    condition_key: str, donor_key: str | None, groupby: str | Sequence[str] | None, obs: pd.DataFrame
) -> tuple[pd.Series, pd.Series | None]:
    """Return the names of condition and donor of each cell."""
    check_column("condition_key", condition_key, obs.columns)
    groups = [] if groupby is None else check_groupby("groupby", groupby, obs)
    others: dict[str, list[Any]] = {"donor_key": [donor_key], "groupby": groups}
    for name, columns in others.items():
        if condition_key in columns:
            msg = (
                f"`condition_key` and `{name}` both name {condition_key!r}, expected different columns of `obs`. "
                "Within one condition there is nothing to compare."
            )
            raise ValueError(msg)
    if donor_key is not None:
        check_column("donor_key", donor_key, obs.columns)
    condition = group_names("condition_key", condition_key, obs)
    return condition, None if donor_key is None else group_names("donor_key", donor_key, obs)


def _conditions(key: str, condition: pd.Series, reference: str | None) -> list[str]:
    """Return the conditions, the reference first."""
    names = [str(name) for name in condition.cat.categories]
    if len(names) < 2:
        msg = (
            f"`condition_key` names `obs[{key!r}]`, which has the conditions {names}, expected two or more. "
            "Name a column with those to compare."
        )
        raise ValueError(msg)
    if reference is None and len(names) > 2:
        msg = (
            f"`condition_key` names `obs[{key!r}]`, which has {len(names)} conditions, {listed(names)}; pass `reference=` with "
            "the one to compare the others with."
        )
        raise ValueError(msg)
    if reference is not None:
        check_choice("reference", reference, names)
    first = names[0] if reference is None else reference
    return [first, *(name for name in names if name != first)]


def _left_out(why_not: dict[Any, str], designs: dict[Any, Design], *, condition_key: str, has_donors: bool) -> str:
    """Return a sentence on comparisons that cannot be made; nothing if all can.

    Raises
    ------
    ValueError
        If none can be made.
    """
    if not why_not:
        return ""
    reasons = list(dict.fromkeys(why_not.values()))
    if not designs:
        advice = ", or leave out `donor_key` to compare cells, which speak for these donors alone" if has_donors else ""
        msg = (
            f"The conditions of `condition_key={condition_key!r}` cannot be compared, because {'; '.join(reasons)}. Take groups "
            f"of more cells{advice}."
        )
        raise ValueError(msg)
    names = [other if group is None else f"{group} ({other})" for group, other in why_not]
    return (
        f"{len(why_not)} of {len(why_not) + len(designs)} comparisons are left out, because {'; '.join(reasons)}: {names}. "
        "Merge small groups to have them."
    )


def _units(designs: dict[Any, Design]) -> pd.DataFrame:
    """Return the table of samples."""
    rows = [
        (group, sample.condition, sample.donor, len(sample.cells))
        for (group, _), each in designs.items()
        for sample in each.samples
    ]
    return pd.DataFrame(rows, columns=["group", "condition", "donor", "n_cells"]).drop_duplicates(ignore_index=True)
