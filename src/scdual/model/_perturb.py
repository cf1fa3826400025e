"""Knock out or over-express genes in silico.

Dimension key
    B, C  cells      G  genes      R  regulators      P  perturbed regulators      K  draws      Z  latent dimensions
"""

import math
import re
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scvi import REGISTRY_KEYS, settings

from scdual._checks import check_choice, check_flag, check_type, check_whole, did_you_mean, listed, shown
from scdual._warning import warn
from scdual.model._cells import check_cells
from scdual.model._groups import SMALLEST_GROUP, group_names
from scdual.model._perturbation import Perturbation, effect_table
from scdual.model._regulation import RegulationMixin
from scdual.model._results import check_free, write_perturbation
from scdual.model._scvi import SETUP_ARGS_KEY
from scdual.module._minibatch import dense
from scdual.module.map import (
    Observed,
    Setting,
    Units,
    draw,
    group_pairs,
    known_pairs,
    observe,
    reach,
    set_log,
    units,
    value_range,
)

ROUNDS = 1  # chosen on simulated knock-outs; none or more get up to .01 fewer directions right
_FOLD = re.compile(r"(\d+\.?\d*|\.\d+)\s*x", re.IGNORECASE)


class KnownMap(NamedTuple):
    """The map of some cells, per unit of the regulators' values, each ``(G, R)``, and its units in other scales."""

    weight: torch.Tensor
    sd: torch.Tensor
    units: Units


class PerturbationMixin(RegulationMixin):
    """The method of SCDual that predicts what perturbing regulators does."""

    @torch.inference_mode()
    def perturb(
        self,
        genes: Mapping[str, float | str],
        *,
        group: str | None = None,
        groupby: str | Sequence[str] | None = None,
        adata: AnnData | MuData | None = None,
        rounds: int = ROUNDS,
        n_draws: int = 100,
        shift: bool = True,
        key_added: str | None = None,
        batch_size: int | None = None,
    ) -> Perturbation:
        r"""Predict from unperturbed cells what knocking out or over-expressing regulators changes.

        The map says how a gene moves with its regulators. Where a regulator is set to another value, its targets move by
        their weight, other regulators among them move their own targets, and so on for some rounds; see
        :func:`~scdual.module.reach` for the damping, by which the sum of all rounds is finite. Perturbed genes stay as they
        were set. A weight is meant for regulators most of which are hidden; where one alone moves it is multiplied by
        :math:`1 + \lambda`, with the penalty :math:`\lambda` that hiding amounts to. What a regulator loses or gains is
        kept within the values that cells show. Nothing is written into the data unless ``key_added`` is given.

        The map is made of associations: **what it predicts is a hypothesis for an experiment**. The user guide says how often
        predictions were right where the outcome is known.

        Parameters
        ----------
        genes
            What is done to each gene, all at once: a number sets it to that many molecules per cell of typical depth, 0
            knocks it out; a text such as ``"2x"`` or ``"0.5x"`` multiplies it. Only regulators can be perturbed: of other
            genes the map does not say what they act on.
        group
            Group of cells, by its name; its own map is used. None takes all cells and the map of the training.
        groupby
            Column of ``obs``, or several, that the group is one of, as in :meth:`get_regulation`; None takes the
            registered labels.
        adata
            Data with the genes of the model, whose cells are perturbed; None takes the data it was built with.
        rounds
            Rounds by way of other regulators; 0 leaves direct targets only.
        n_draws
            Number K of maps drawn from the posterior for the intervals.
        shift
            Whether to encode the cells again with changed counts, for their shift in the embedding. The counts of a cell are
            multiplied by what is predicted for it, those of perturbed genes set, and its depth is left as it was. A count of
            0 stays 0.
        key_added
            Name under which results are written: the shift to ``obsm``, the effects to ``varm``, what was done to ``uns``.
        batch_size
            Cells per minibatch.

        Returns
        -------
        :class:`~scdual.model.Perturbation`: tables of the effects and of the perturbed regulators, and the shift.

        Raises
        ------
        RuntimeError
            If the model is not trained, or was saved before edges carried evidence.
        KeyError
            If ``groupby`` is no column of ``obs``.
        TypeError, ValueError
            If a gene is no regulator or has no edges, a value is wrong, the group does not exist or has no map, or something
            else is kept under ``key_added``.

        Examples
        --------
        >>> knockout = model.perturb({"STAT1": 0})
        >>> knockout.to_frame(top=20)
        >>> model.perturb({"GATA1": "2x", "SPI1": 0}, group="B cell", groupby="cell_type")
        """
        self._check_map_is_learnt()
        self._check_evidence()
        wanted = self._wanted(genes)
        check_type("group", group, str, optional=True)
        check_whole("rounds", rounds, at_least=0)
        check_whole("n_draws", n_draws, at_least=1)
        check_flag("shift", shift)
        if shift:
            self._check_if_trained(warn=False)
        check_cells(adata, batch_size=batch_size)
        adata = self._validate_anndata(adata)
        rna = adata.mod[self._rna_modality] if isinstance(adata, MuData) else adata
        check_free(key_added, adata, rna)
        cells = self._cells_of(adata, group, groupby)

        observed = self._observe(adata, cells, list(wanted.values()), batch_size)
        known = self._map_of(adata, cells, group, observed, batch_size)
        perturbed, index = [setting.regulator for setting in wanted.values()], self.module.map.regulator_index
        silent = [gene for gene, column in zip(wanted, perturbed, strict=True) if not known.weight[:, column].any()]
        if silent:
            warn(f"{listed(silent)} have no edges in the group {group!r}, where they are silent, so nothing follows.")
        absent = [gene for gene, each in wanted.items() if not each.level and not self._count_of(observed, each)]
        if absent and not silent:
            msg = (
                f"None of the {len(cells)} cells expresses {listed(absent)}, so knocking it out or multiplying it changes "
                "nothing; perturb cells that express it, or give a number of molecules."
            )
            raise ValueError(msg)
        value_change = self._value_change(adata, group, observed, perturbed, batch_size)  # (C, P)
        _warn_if_beyond(wanted, observed.set_value - observed.value - value_change)
        step = value_change.mean(0)
        found = reach(known.weight, known.units.value, index, perturbed, rounds=rounds)
        drawn = draw(
            known.weight,
            known.sd,
            known.units.value,
            index,
            dict(zip(perturbed, step.tolist(), strict=True)),
            rounds=rounds,
            n_draws=n_draws,
            generator=torch.Generator().manual_seed(settings.seed or 0),
        )
        names = {"genes": pd.Index(self.gene_names), "regulators": pd.Index(self.regulators)}
        effects = effect_table(
            found, step, drawn, observed, known.units, weight=known.weight, perturbed=pd.Index(wanted), **names
        )
        moved = None
        if shift:
            per_gene = known.units.log * observed.count_slope.float() / observed.mean_count.float().clamp_min(1e-12)
            per_step = (found.direct + found.indirect) * per_gene[:, None]  # (G, P)
            moved = self._shift(adata, cells, list(wanted.values()), value_change, per_step, batch_size)
        result = Perturbation(
            dict(genes), group, len(cells), rounds, effects, _regulator_table(genes, effects, step), moved
        )
        if key_added is not None:
            write_perturbation(key_added, result, adata, rna)
        return result

    def _wanted(self, genes: Any) -> dict[str, Setting]:
        """Return what is to be done to each regulator, by its name."""
        example = 'Pass for example {"STAT1": 0} or {"GATA1": "2x"}.'
        check_type("genes", genes, Mapping, advice=example)
        if not genes:
            msg = f"`genes` is empty, expected what is done to one gene or more. {example}"
            raise ValueError(msg)
        return {
            gene: setting(f"genes[{gene!r}]", value, self._regulator_position(gene)) for gene, value in genes.items()
        }

    def _regulator_position(self, gene: Any) -> int:
        """Return the position of a gene among the regulators; one without edges is an error."""
        check_type("genes", gene, str, advice="Name each gene.")
        if gene not in self.gene_names:
            advice = did_you_mean(gene, self.regulators) or f"Its regulators are {listed(self.regulators, most=5)}."
            msg = f"`genes` names {gene!r}, which is unknown to the model with {len(self.gene_names)} genes. {advice}"
            raise ValueError(msg)
        if gene not in self.regulators:
            msg = (
                f"`genes` names {gene!r}, which is no regulator of the model, so nothing is known about what it acts on; "
                f"perturb one of {listed(self.regulators, most=5)}, or build the model with it in `regulators`."
            )
            raise ValueError(msg)
        position = self.regulators.index(gene)
        if not self.module.map.known.weight[:, position].any():
            n_cells = int(self.module.map.known.n_cells[self.module.map.regulator_index[position], position])
            msg = (
                f"{gene!r} has no edges, so nothing follows from perturbing it: {n_cells} cells of the training express it. "
                "Perturb a regulator that more cells express, or whose targets vary with it."
            )
            raise ValueError(msg)
        return position

    def _cells_of(self, adata: AnnData | MuData, group: str | None, groupby: str | Sequence[str] | None) -> np.ndarray:
        """Return the positions of the cells of a group, or of all."""
        if group is None:
            if groupby is not None:
                msg = "`groupby` has no effect without `group`, the name of one of its groups. Pass both, or neither."
                raise ValueError(msg)
            return np.arange(adata.n_obs)
        if groupby is None:
            groupby = self.registry_[SETUP_ARGS_KEY].get("labels_key")
        if groupby is None:
            msg = (
                "`group` needs `groupby`, the column of `obs` with the groups, for the model was set up without labels."
            )
            raise ValueError(msg)
        labels = group_names("groupby", groupby, adata.obs)
        check_choice("group", group, labels.cat.categories)
        cells = np.flatnonzero(labels == group)
        if len(cells) < SMALLEST_GROUP:
            msg = f"The group {group!r} has {len(cells)} cell, expected at least {SMALLEST_GROUP}: one does not tell how genes vary. Choose another."
            raise ValueError(msg)
        return cells

    def _count_of(self, observed: Observed, wanted: Setting) -> float:
        """Return the mean count of the regulator that is to be set."""
        return float(observed.mean_count[self.module.map.regulator_index[wanted.regulator]])

    def _observe(
        self, adata: AnnData | MuData, cells: np.ndarray, wanted: list[Setting], batch_size: int | None
    ) -> Observed:
        return observe(self.module.map.values, self._batches(adata, cells, batch_size), wanted)

    def _map_of(
        self,
        adata: AnnData | MuData,
        cells: np.ndarray,
        group: str | None,
        observed: Observed,
        batch_size: int | None,
    ) -> KnownMap:
        """Return the map of a group, or that of the training, for regulators that move alone.

        What a prior says is left out: it tells which edges to believe, not how far a target moves.
        """
        regulation_map = self.module.map
        device = regulation_map.regulator_index.device
        per_value = torch.ones(regulation_map.n_regulators, device=device)
        if group is None:
            pairs = known_pairs(regulation_map)
        else:
            pairs = group_pairs(regulation_map, {group: self._batches(adata, cells, batch_size)})[group]
            std = observed.std().float()  # weights of a group count per standard deviation in the group
            per_value = torch.where(std > 0, 1 / std, 0.0)
            if not pairs.weight.any():
                msg = (
                    f"The {len(cells)} cells of the group {group!r} have no map, because no regulator varies in them beyond "
                    "covariates and depth; choose a larger group."
                )
                raise ValueError(msg)
        per_value = per_value * (1 + regulation_map.hiding.penalty)
        weight, sd = (torch.from_numpy(part).to(device) * per_value for part in (pairs.weight, pairs.sd))
        found = units(regulation_map.values, observed.moments, weight)
        return KnownMap(weight, sd, Units(*(part.float() for part in found)))

    def _value_change(
        self,
        adata: AnnData | MuData,
        group: str | None,
        observed: Observed,
        perturbed: list[int],
        batch_size: int | None,
    ) -> torch.Tensor:
        """Return the change of the perturbed regulators' values, ``(C, P)``, within what any cell of the data shows."""
        value = observed.value
        if group is None:
            low, high = value.amin(0), value.amax(0)
        else:
            low, high = value_range(self.module.map.values, self._batches(adata, None, batch_size), perturbed)
        return observed.set_value.clamp(low, high) - value

    def _shift(
        self,
        adata: AnnData | MuData,
        cells: np.ndarray,
        wanted: list[Setting],
        value_change: torch.Tensor,
        per_step: torch.Tensor,
        batch_size: int | None,
    ) -> pd.DataFrame:
        """Return the shift of the cells in the embedding.

        Values of perturbed regulators change by ``value_change`` ``(C, P)``, and each step of one changes counts by the share
        ``per_step`` ``(G, P)`` of themselves.
        """
        module, values = self.module, self.module.map.values
        index = values.regulator_index[[setting.regulator for setting in wanted]]
        loader = self._make_data_loader(adata=adata, indices=cells, batch_size=batch_size or 512)
        parts, n_done = [], 0
        for tensors in loader:
            counts = dense(tensors[REGISTRY_KEYS.X_KEY]).to(module.device)
            covariates, size = module.covariates(tensors).to(module.device), module.size_factor(tensors)
            size = counts.sum(-1, keepdim=True).clamp_min(1.0) if size is None else size
            share = value_change[n_done : n_done + len(counts)] @ per_step.T  # (B, G)
            new = counts * (1 + share).clamp_min(0)
            typical = values.scale.log_library_size.exp()
            log_expr = values.scale.log_expr(counts, size_factor=size)
            new[:, index] = set_log(log_expr, values, wanted).expm1() * size / typical
            before, after = (module.encode(each, covariates, size).loc for each in (counts, new))
            parts.append((after - before) @ module.cell_state.axes)
            n_done += len(counts)
        shift = torch.cat(parts).cpu().numpy()
        return pd.DataFrame(shift, index=adata.obs_names[cells], columns=[f"dim_{i}" for i in range(shift.shape[1])])


def setting(name: str, value: Any, regulator: int) -> Setting:
    """Return what is to be done to a regulator.

    Parameters
    ----------
    name
        Name of the argument, for errors.
    value
        What was passed: a number, or a text such as ``"2x"``.
    regulator
        Position of the regulator among the regulators.

    Raises
    ------
    TypeError, ValueError
        If the value is neither.
    """
    if isinstance(value, str) and (match := _FOLD.fullmatch(value.strip())):
        return Setting(regulator, factor=float(match[1]))
    is_number = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
    if is_number and math.isfinite(value) and value >= 0:
        return Setting(regulator, level=float(value))
    msg = (
        f"`{name}` is {shown(value)}, expected 0 to knock it out, another number of molecules per cell from 0 up, or "
        "a text such as '2x' to multiply it."
    )
    raise (ValueError if is_number or isinstance(value, str) else TypeError)(msg)


def _warn_if_beyond(wanted: Mapping[str, Setting], cut: torch.Tensor) -> None:
    """Warn of levels above the values that cells have in the map, by ``cut``, ``(C, P)``."""
    beyond = [
        gene for gene, each, by in zip(wanted, wanted.values(), cut.T, strict=True) if each.level and (by > 0).all()
    ]
    if beyond:
        warn(
            f"What {listed(beyond)} is set to lies beyond the values of the map in all cells, so it counts as the largest of "
            "these, and a larger number predicts the same."
        )


def _regulator_table(genes: Mapping[str, float | str], effects: pd.DataFrame, step: torch.Tensor) -> pd.DataFrame:
    """Return one row per perturbed regulator."""
    table = effects.loc[list(genes), ["mean_count", "count_change"]]
    table.insert(0, "set_to", [str(value) for value in genes.values()])
    return table.assign(value_change=step.cpu().numpy()).rename_axis("gene")
