"""Compare predicted perturbations with observed ones.

Dimension key
    C  cells      G  genes      P  perturbed regulators
"""

from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scvi import REGISTRY_KEYS

from scdual._checks import check_choice, check_column, check_whole, listed
from scdual._warning import warn
from scdual.model._cells import check_cells
from scdual.model._groups import group_names
from scdual.model._perturb import ROUNDS, PerturbationMixin, setting
from scdual.model._perturbation_check import (
    MIN_CELLS,
    PerturbationCheck,
    baselines,
    moved_genes,
    observed_changes,
    score_changes,
)
from scdual.module.map import Setting, reach


class PerturbationCheckMixin(PerturbationMixin):
    """The method of SCDual that checks what :meth:`perturb` predicts."""

    @torch.inference_mode()
    def check_perturbation(
        self,
        adata: AnnData | MuData,
        key: str,
        control: str,
        *,
        to: float | str = 0,
        rounds: int = ROUNDS,
        batch_size: int | None = None,
    ) -> PerturbationCheck:
        """Score predictions of perturbations beside baselines, where perturbed cells were observed.

        Train the model on unperturbed cells alone, then pass all. Effects are predicted for the control cells as by
        :meth:`perturb`, with the map of the training, and compared with the observed mean log changes.

        Parameters
        ----------
        adata
            Data with the genes of the model, perturbed and control cells among them. Batches that were registered
            separate them: only cells of one batch are compared with each other.
        key
            Column of ``obs`` that names the perturbed gene of each cell.
        control
            Value of that column in unperturbed cells.
        to
            What was done to the genes, as in :meth:`perturb`: 0 for knock-outs, a text such as ``"2x"`` for activation.
        rounds
            As in :meth:`perturb`.
        batch_size
            Cells per minibatch.

        Returns
        -------
        :class:`~scdual.model.PerturbationCheck`. Printed, it shows the means of all methods.

        Raises
        ------
        RuntimeError
            If the model is not trained, or was saved before edges carried evidence.
        KeyError
            If ``key`` is no column of ``obs``.
        TypeError, ValueError
            If ``control`` is not in the column, too few cells have it, ``to`` is wrong, or no perturbation can be judged.
        """
        self._check_map_is_learnt()
        self._check_evidence()
        setting("to", to, 0)
        check_whole("rounds", rounds, at_least=0)
        check_cells(adata, batch_size=batch_size)
        adata = self._validate_anndata(adata)
        check_column("key", key, adata.obs.columns)
        names = group_names("key", key, adata.obs)
        check_choice("control", control, names.cat.categories)
        condition = names.astype(object).fillna("").to_numpy(dtype=str)
        self._warn_if_seen(key, control)
        wanted, left_out = self._predictable(condition, control, to)

        log_expr = np.concatenate(
            [self.module.map.values.log_expr(cells).cpu().numpy() for cells in self._batches(adata, None, batch_size)]
        )
        batch = self.get_anndata_manager(adata, required=True).get_from_registry(REGISTRY_KEYS.BATCH_KEY).ravel()
        genes = pd.Index(self.gene_names)
        change, score, n_cells = observed_changes(log_expr, condition, batch, genes, list(wanted), control)
        for gene in set(wanted) - set(change.index):
            left_out[gene] = f"no batch has {MIN_CELLS} of its cells and of the control"
        if change.empty:
            msg = (
                f"None of the perturbations in `obs[{key!r}]` can be judged ({_reasons(left_out)}); expected names of regulators "
                f"of the model such as {listed(self.regulators, most=3)}, in at least {MIN_CELLS} cells of a batch with control."
            )
            raise ValueError(msg)
        wanted = {gene: wanted[gene] for gene in change.index}
        is_control = np.flatnonzero(condition == control)
        predicted, own = self._predicted(adata, is_control, wanted, rounds, batch_size)
        step = {int(genes.get_loc(gene)): value for gene, value in zip(wanted, own, strict=True)}
        others = baselines(log_expr[is_control].astype(float), self.module.map.regulator_index.cpu().numpy(), step)
        tables = {
            method: pd.DataFrame(values, index=change.index, columns=genes)
            for method, values in {"scdual": predicted, **others}.items()
        }
        moved = moved_genes(score)
        return PerturbationCheck(score_changes(tables, change, moved, n_cells), change, moved, tables, left_out)

    def _predictable(
        self, condition: np.ndarray, control: str, to: float | str
    ) -> tuple[dict[str, Setting], dict[str, str]]:
        """Return what was done to each regulator, and why other perturbations are left out."""
        wanted: dict[str, Setting] = {}
        left_out: dict[str, str] = {}
        for gene in sorted(map(str, set(condition) - {control, ""})):
            if gene not in self.gene_names:
                left_out[gene] = "not among the genes"
            elif gene not in self.regulators:
                left_out[gene] = "no regulator"
            elif not self.module.map.known.weight[:, self.regulators.index(gene)].any():
                left_out[gene] = "no edges"
            else:
                wanted[gene] = setting("to", to, self.regulators.index(gene))
        return wanted, left_out

    def _predicted(
        self,
        adata: AnnData | MuData,
        cells: np.ndarray,
        wanted: dict[str, Setting],
        rounds: int,
        batch_size: int | None,
    ) -> tuple[np.ndarray, list[float]]:
        """Return predicted log changes ``(P, G)`` of one perturbation each, and those of the perturbed genes themselves."""
        observed = self._observe(adata, cells, list(wanted.values()), batch_size)
        known = self._map_of(adata, cells, None, observed, batch_size)
        value, index = observed.value, self.module.map.regulator_index
        step = (observed.set_value.clamp(value.amin(0), value.amax(0)) - value).mean(0)  # (P,)
        rows: list[Any] = []
        for place, each in enumerate(wanted.values()):
            found = reach(known.weight, known.units.value, index, [each.regulator], rounds=rounds)
            change = known.units.log * (found.direct + found.indirect)[:, 0] * step[place]
            rows.append(torch.maximum(change, -observed.mean_log.float()).cpu().numpy())
        return np.stack(rows), observed.own_log.tolist()

    def _warn_if_seen(self, key: str, control: str) -> None:
        """Warn if the cells of the training were perturbed, too."""
        obs = None if self.adata is None else self.adata.obs
        if obs is not None and key in obs and (obs[key].astype(str) != control).any():
            warn(
                "The model was trained on perturbed cells, too, so the scores are too good for a prediction; train it on "
                f"the cells with `obs[{key!r}] == {control!r}` alone."
            )


def _reasons(left_out: dict[str, str]) -> str:
    return listed([f"{gene}: {reason}" for gene, reason in left_out.items()], most=3) if left_out else "there are none"
