"""What a perturbation is predicted to do.

Dimension key
    C  cells      G  genes      R  regulators      P  perturbed regulators      K  draws      Z  latent dimensions
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from scdual._checks import check_choice, check_whole
from scdual.module.map import Observed, Reach, Units

INTERVAL = 0.9  # share of the drawn maps between lower and upper
REACHES = ("perturbed", "direct", "indirect", "none")


@dataclass(frozen=True, eq=False, repr=False)
class Perturbation:
    """Hold what :meth:`scdual.model.SCDual.perturb` predicts.

    Parameters
    ----------
    genes
        What was done to which gene.
    group
        The group of cells, None for all.
    n_cells
        Number of cells ``C``.
    rounds
        Rounds by way of other regulators.
    effects
        One row per gene, in the order of the data:

        * ``log_change`` - mean change of log(1 + depth-normalised counts), natural logarithm; no gene loses more than it has
        * ``lower``, ``upper`` - between which nine tenths of the maps drawn from the posterior put it
        * ``direct``, ``indirect`` - its two parts, from the perturbed regulators and by way of others, before that limit
        * ``count_change``, ``count_lower``, ``count_upper`` - the change in molecules per cell of typical depth
        * ``mean_count`` - molecules per cell of typical depth before
        * ``support`` - share of the drawn maps that agree on the sign
        * ``reach`` - ``'perturbed'``; ``'direct'`` if the interval of the direct part leaves out 0; ``'indirect'`` if only
          that of the whole does; else ``'none'``
        * ``via`` - of a gene that is reached indirectly, the regulator in between that contributes most; else empty
    regulators
        One row per perturbed regulator: ``set_to``, ``mean_count`` before, ``count_change``, and ``value_change``, the mean
        change of its value in the map, in standard deviations, kept within what cells show.
    shift
        Change of each cell's place in the embedding, ``(C, Z)``; None if it was not asked for.

    Notes
    -----
    The interval says how sure the map is of what it predicts, not how far off an experiment will be.
    """

    genes: Mapping[str, float | str]
    group: str | None
    n_cells: int
    rounds: int
    effects: pd.DataFrame
    regulators: pd.DataFrame
    shift: pd.DataFrame | None = None

    def __repr__(self) -> str:
        done = ", ".join(f"{gene}: {value}" for gene, value in self.genes.items())
        group = "" if self.group is None else f", group={self.group!r}"
        reached = self.effects["reach"].value_counts()
        numbers = f"{reached.get('direct', 0)} genes reached directly, {reached.get('indirect', 0)} by way of others"
        return f"Perturbation({done}; {self.n_cells} cells, {numbers}{group})"

    def to_frame(self, top: int | None = None, reach: str | None = None) -> pd.DataFrame:
        """Return the effects on all but the perturbed genes, with a column ``gene``, the largest log change first.

        Parameters
        ----------
        top
            Number of genes to keep; None keeps all.
        reach
            Keep the genes of this reach, such as ``'direct'``; None keeps all but the perturbed ones.

        Raises
        ------
        TypeError, ValueError
            If ``top`` is no whole number or negative, or ``reach`` none of its choices.
        """
        check_whole("top", top, at_least=0, optional=True)
        check_choice("reach", reach, (*REACHES, None))
        table = self.effects.rename_axis("gene").reset_index()
        is_kept = table["reach"] != "perturbed" if reach is None else table["reach"] == reach
        table = table[is_kept].sort_values("log_change", key=abs, ascending=False, kind="stable", ignore_index=True)
        return table if top is None else table[:top]


def effect_table(
    found: Reach,
    step: torch.Tensor,
    drawn: torch.Tensor,
    observed: Observed,
    units: Units,
    *,
    weight: torch.Tensor,
    genes: pd.Index,
    regulators: pd.Index,
    perturbed: pd.Index,
) -> pd.DataFrame:
    """Return the effects on all genes, as :class:`Perturbation` holds them.

    Parameters
    ----------
    found, units
        How far a step is felt, and in which units.
    step
        Mean change of the value of each perturbed regulator, ``(P,)``.
    drawn
        Direct and whole changes of values under drawn maps, ``(2, K, G)``.
    observed
        What the cells show.
    weight
        The map, ``(G, R)``.
    genes, regulators, perturbed
        Names of all genes, of the regulators and of the perturbed ones.
    """
    per_value = units.log.double().cpu().numpy()
    direct, indirect = ((part @ step).cpu().numpy() * per_value for part in (found.direct, found.indirect))
    of_draws = drawn.cpu().numpy() * per_value  # (2, K, G)
    ends = (1 - INTERVAL) / 2, (1 + INTERVAL) / 2
    low, high = np.quantile(of_draws, ends, axis=1)  # each (2, G)
    mean_log, mean_count, slope = (
        part.cpu().numpy() for part in (observed.mean_log, observed.mean_count, observed.count_slope)
    )
    logs = {"log_change": direct + indirect, "lower": low[1], "upper": high[1]}
    logs = {name: np.maximum(change, -mean_log) for name, change in logs.items()}
    counts = {
        name: np.maximum(slope * change, -mean_count)
        for name, change in zip(("count_change", "count_lower", "count_upper"), logs.values(), strict=True)
    }
    is_sure = (low > 0) | (high < 0)
    reach = np.where(is_sure[0], "direct", np.where(is_sure[1], "indirect", "none"))
    between = weight * (found.others @ step)  # what each regulator in between contributes, (G, R)
    via = regulators.to_numpy()[between.abs().argmax(1).cpu().numpy()]
    support = (np.sign(of_draws[1]) == np.sign(logs["log_change"])).mean(0) * (logs["log_change"] != 0)
    table = pd.DataFrame(
        {
            **logs,
            "direct": direct,
            "indirect": indirect,
            **counts,
            "mean_count": mean_count,
            "support": support,
            "reach": reach,
            "via": np.where(reach == "indirect", via, ""),
        },
        index=genes,
    )
    own_log, own_count = observed.own_log.cpu().numpy(), observed.own_count.cpu().numpy()
    of_perturbed = {
        **dict.fromkeys(("log_change", "lower", "upper", "direct"), own_log),
        **dict.fromkeys(("count_change", "count_lower", "count_upper"), own_count),
        **{"indirect": 0.0, "support": 1.0, "reach": "perturbed", "via": ""},
    }
    for name, values in of_perturbed.items():
        table.loc[perturbed, name] = values
    return table
