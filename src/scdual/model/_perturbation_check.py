"""Score predictions of perturbations beside baselines, with observed cells at hand.

Dimension key
    C  cells      G  genes      P  perturbed regulators
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from scipy.stats import false_discovery_control, norm, spearmanr

MIN_CELLS = 10  # of a perturbation in a batch, for a rank test to mean anything
FDR = 0.05  # of the genes that are said to have moved
MIN_MOVED = 5  # genes without which a share of right signs is chance
_PENALTIES = np.logspace(-2, 3, 11)  # among which ridge chooses, times the number of cells
_CONDITION = "condition"  # column of a table that is gone at once


@dataclass(frozen=True, eq=False, repr=False)
class PerturbationCheck:
    """Hold how predictions of perturbations fare beside baselines.

    Parameters
    ----------
    scores
        One row per regulator and method:

        * ``n_cells`` - perturbed cells
        * ``n_moved`` - genes that moved, the regulator left out: rank-sum tests within batches at a false discovery rate of 5 %
        * ``spearman`` - rank correlation of predicted and observed log change over all genes but the regulator; 0 if
          a method predicts the same for all
        * ``sign_accuracy`` - share of the moved genes that moved in the predicted direction; no direction counts half
        * ``error`` - root mean square error of the log change over that of predicting no change

        Methods are ``'scdual'``; ``'no change'``; ``'correlation'``, the slope of each gene on the regulator in unperturbed
        cells; ``'ridge'``, its slope on all regulators; and ``'target mean'``, by which all genes follow the regulator in
        proportion to their mean.
    observed
        Log change of each gene (column) under each perturbation (row), ``(P, G)``.
    moved
        Whether that gene moved, ``(P, G)``; never for the perturbed gene itself.
    predicted
        What each method predicts of the log changes, each ``(P, G)``, by its name.
    left_out
        Perturbations that could not be predicted or judged, with the reason.
    """

    scores: pd.DataFrame
    observed: pd.DataFrame
    moved: pd.DataFrame
    predicted: Mapping[str, pd.DataFrame]
    left_out: Mapping[str, str]

    def summary(self) -> pd.DataFrame:
        """Return the means of the scores by method; of signs, over perturbations that moved at least five genes."""
        scores = self.scores.assign(
            sign_accuracy=self.scores["sign_accuracy"].where(self.scores["n_moved"] >= MIN_MOVED)
        )
        return scores.groupby("method", sort=False)[["spearman", "sign_accuracy", "error"]].mean()

    def __repr__(self) -> str:
        n_judged = self.scores.loc[self.scores["n_moved"] >= MIN_MOVED, "regulator"].nunique()
        head = (
            f"{len(self.observed)} perturbations, means by method; signs of the {n_judged} that moved at least "
            f"{MIN_MOVED} genes"
        )
        reasons = Counter(self.left_out.values())
        others = f"\n{len(self.left_out)} are not judged, see `left_out`: " if reasons else ""
        others += ", ".join(f"{number} {reason}" for reason, number in reasons.most_common())
        return f"{head}\n{self.summary().round(3).to_string()}{others}"


def observed_changes(
    log_expr: np.ndarray, condition: np.ndarray, batch: np.ndarray, genes: pd.Index, wanted: list[str], control: str
) -> tuple[pd.DataFrame, pd.DataFrame, pd.Series]:
    """Return log changes and standard scores of the genes under each perturbation, each ``(P, G)``, and numbers of cells.

    Perturbed and control cells of the same batch are compared; batches are combined with weight by their perturbed cells,
    standard scores as by Stouffer.

    Parameters
    ----------
    log_expr
        Log values, shape ``(C, G)``.
    condition, batch
        Perturbation and batch of each cell, ``(C,)``.
    genes
        Names of the genes.
    wanted
        Perturbations to look at.
    control
        Condition of the unperturbed cells.
    """
    change = pd.DataFrame(0.0, index=wanted, columns=genes)
    score, n_cells = change.copy(), pd.Series(0, index=wanted)
    for name in np.unique(batch):
        is_here = batch == name
        counts = pd.Series(condition[is_here]).value_counts()
        usable = [each for each in wanted if counts.get(each, 0) >= MIN_CELLS]
        if not usable or counts.get(control, 0) < MIN_CELLS:
            continue
        of_control = log_expr[is_here & (condition == control)].mean(0)
        chosen = is_here & np.isin(condition, [control, *usable])
        scores = _rank_scores(log_expr[chosen], condition[chosen], genes, usable, control)
        for each in usable:
            change.loc[each] += counts[each] * (log_expr[is_here & (condition == each)].mean(0) - of_control)
            score.loc[each] += np.sqrt(counts[each]) * scores[each]
            n_cells[each] += counts[each]
    seen = n_cells[n_cells > 0]
    change, score = change.loc[seen.index].div(seen, axis=0), score.loc[seen.index].div(np.sqrt(seen), axis=0)
    return change, score, seen


def _rank_scores(
    log_expr: np.ndarray, condition: np.ndarray, genes: pd.Index, wanted: list[str], control: str
) -> dict[str, pd.Series]:
    """Return standard scores of rank-sum tests against the control, 0 where nothing is expressed."""
    obs = pd.DataFrame({_CONDITION: pd.Categorical(condition)}, index=np.arange(len(condition)).astype(str))
    adata = AnnData(log_expr, obs=obs, var=pd.DataFrame(index=genes))
    with np.errstate(invalid="ignore", divide="ignore"):  # genes without a count have no score
        sc.tl.rank_genes_groups(
            adata, _CONDITION, groups=wanted, reference=control, method="wilcoxon", tie_correct=True
        )
    tables = {each: sc.get.rank_genes_groups_df(adata, each).set_index("names")["scores"] for each in wanted}
    return {each: scores.reindex(genes).fillna(0.0).astype(float) for each, scores in tables.items()}


def baselines(log_expr: np.ndarray, regulator_index: np.ndarray, step: Mapping[int, float]) -> dict[str, np.ndarray]:
    """Return the log changes that simple methods predict, by method, each ``(P, G)``.

    Parameters
    ----------
    log_expr
        Log values of unperturbed cells, shape ``(C, G)``.
    regulator_index
        Positions of all regulators among the genes, ``(R,)``.
    step
        Mean log change of each perturbed gene itself, by its position among the genes.
    """
    mean, perturbed = log_expr.mean(0), list(step)
    change = np.array(list(step.values()))[:, None]  # (P, 1)
    centred = log_expr - mean
    square = np.maximum((centred[:, perturbed] ** 2).sum(0), 1e-12)
    slope = centred[:, perturbed].T @ centred / square[:, None]
    relative = change / np.maximum(mean[perturbed], 1e-12)[:, None]
    ridge = ridge_slopes(centred, regulator_index)  # (R, G)
    rows = [int(np.flatnonzero(regulator_index == gene)[0]) for gene in perturbed]
    return {
        "no change": np.zeros_like(slope),
        "correlation": change * slope,
        "ridge": change * ridge[rows],
        "target mean": relative * mean,
    }


def ridge_slopes(centred: np.ndarray, regulator_index: np.ndarray) -> np.ndarray:
    """Return slopes of each gene on all regulators but itself, ``(R, G)``, with the penalty that predicts left-out cells best.

    Parameters
    ----------
    centred
        Log values with mean 0 per gene, shape ``(C, G)``.
    regulator_index
        Positions of the regulators among the genes, ``(R,)``.
    """
    from sklearn.linear_model import Ridge, RidgeCV

    std = centred[:, regulator_index].std(0)
    inputs = centred[:, regulator_index] / np.where(std > 0, std, 1.0)
    others = np.setdiff1d(np.arange(centred.shape[1]), regulator_index)
    outputs = centred[:, others] if len(others) else centred
    penalty = RidgeCV(alphas=_PENALTIES * len(centred), fit_intercept=False).fit(inputs, outputs).alpha_
    slopes = np.zeros((len(regulator_index), centred.shape[1]))
    if len(others):
        slopes[:, others] = Ridge(alpha=penalty, fit_intercept=False).fit(inputs, centred[:, others]).coef_.T
    for row, gene in enumerate(regulator_index):
        rest = np.arange(len(regulator_index)) != row
        if rest.any():
            fit = Ridge(alpha=penalty, fit_intercept=False).fit(inputs[:, rest], centred[:, gene])
            slopes[rest, gene] = fit.coef_
    return slopes / np.where(std > 0, std, 1.0)[:, None]


def moved_genes(score: pd.DataFrame) -> pd.DataFrame:
    """Return which genes moved, ``(P, G)``, of standard scores ``(P, G)``; the perturbed gene itself does not count."""
    p_value = 2 * norm.sf(score.abs().to_numpy())
    is_moved = false_discovery_control(p_value, axis=None).reshape(p_value.shape) < FDR
    is_moved &= score.index.to_numpy()[:, None] != score.columns.to_numpy()
    return pd.DataFrame(is_moved, index=score.index, columns=score.columns)


def score_changes(
    predicted: Mapping[str, pd.DataFrame], observed: pd.DataFrame, is_moved: pd.DataFrame, n_cells: pd.Series
) -> pd.DataFrame:
    """Return the scores of each method for each perturbation, as :class:`PerturbationCheck` holds them.

    Parameters
    ----------
    predicted
        Log changes by method, each ``(P, G)``.
    observed
        Observed log changes, ``(P, G)``.
    is_moved
        Which genes moved, ``(P, G)``.
    n_cells
        Number of perturbed cells, ``(P,)``.
    """
    rows = []
    for gene in observed.index:
        is_other = (observed.columns != gene).astype(bool)
        moved, truth = is_moved.loc[gene].to_numpy(), observed.loc[gene].to_numpy()
        for method, table in predicted.items():
            guess = table.loc[gene].to_numpy()
            agreement = (1 + np.sign(guess[moved]) * np.sign(truth[moved])) / 2
            varies = np.ptp(guess[is_other]) > 0 and np.ptp(truth[is_other]) > 0
            size = np.sqrt(np.mean(truth[is_other] ** 2))
            rows.append(
                {
                    "regulator": gene,
                    "method": method,
                    "n_cells": int(n_cells[gene]),
                    "n_moved": int(moved.sum()),
                    "spearman": float(spearmanr(guess[is_other], truth[is_other]).statistic) if varies else 0.0,
                    "sign_accuracy": float(agreement.mean()) if moved.any() else np.nan,
                    "error": float(np.sqrt(np.mean((guess - truth)[is_other] ** 2)) / max(size, 1e-12)),
                }
            )
    return pd.DataFrame(rows)
