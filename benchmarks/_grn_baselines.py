"""The methods that SCDual is compared with.

Each takes a data set and returns signed weights by method name, row = regulator and column = target. Tree methods and
RegDiffusion see only what they were published with: trees the regulators, RegDiffusion the log values of all genes.
Trees give no sign, so theirs is that of the Pearson correlation.

Dimension key
    C  cells      G  genes      R  regulators
"""

import contextlib
import io
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from _grn_data import DataSet
from _grn_report import ABUNDANCE
from joblib import Parallel, delayed
from scipy.stats import rankdata

from scdual.grn import average_product_correction

Maps = dict[str, np.ndarray]
N_LAST = 25  # trees over which boosting looks back before it stops
N_THREADS = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))


def correlation(z_expr: np.ndarray) -> np.ndarray:
    """Return the correlation of standardised values, shape ``(G, G)``."""
    return z_expr.T @ z_expr / len(z_expr)


def pearson(data: DataSet) -> Maps:
    return _with_correction("pearson", correlation(data.z_expr), data)


def spearman(data: DataSet) -> Maps:
    rank = rankdata(data.log_expr, axis=0)
    centred = rank - rank.mean(0)
    std = centred.std(0)
    return _with_correction("spearman", correlation(centred / np.where(std > 0, std, 1.0)), data)


def _with_correction(name: str, square: np.ndarray, data: DataSet) -> Maps:
    """Return the rows of the regulators with and without the correction, which averages over all pairs of genes."""
    corrected = average_product_correction(square, ~np.eye(len(square), dtype=bool))
    return {name: square[data.regulator_index], f"{name}+APC": corrected[data.regulator_index]}


def abundance(data: DataSet) -> Maps:
    """Return the mean log value of the regulator, and that of the target, for every pair: what genes alone tell."""
    mean, pairs = data.log_expr.mean(0), np.ones(data.pair_mask.shape)
    return dict(zip(ABUNDANCE, (pairs * mean[data.regulator_index, None], pairs * mean), strict=True))


def partial_correlation(data: DataSet) -> Maps:
    """Return partial correlations given all other genes, with the Ledoit-Wolf covariance."""
    from sklearn.covariance import LedoitWolf

    precision = LedoitWolf(assume_centered=True).fit(data.z_expr).precision_
    scale = np.sqrt(precision.diagonal())
    return {"partial_correlation": -(precision / np.outer(scale, scale))[data.regulator_index]}


def genie3(data: DataSet) -> Maps:
    """Return the importances of extremely randomised trees."""
    from sklearn.ensemble import ExtraTreesRegressor

    def importances(inputs: np.ndarray, target: np.ndarray) -> np.ndarray:
        trees = ExtraTreesRegressor(n_estimators=100, max_features="sqrt", random_state=data.seed)
        return trees.fit(inputs, target).feature_importances_

    return {"genie3": _per_target(data, importances)}


def grnboost2(data: DataSet) -> Maps:
    """Return the importances of gradient boosting that stops when its out-of-bag error no longer falls.

    The settings are arboreto's, with at most 500 trees instead of 5,000. As there, the importances, which sum to one
    per target, are multiplied by the number of trees: a target that was soon given up has little to be explained.
    """
    return {"grnboost2": _boosting(data, lambda: _reported_stop)}


def grnboost2_same_cells(data: DataSet) -> Maps:
    """Return the same with the stop as it was when GRNBoost2 was published, which allows several times more trees.

    Since scikit-learn 1.3 the reported improvement compares errors on different out-of-bag cells, so that chance stops
    most targets right after the first 25 trees.
    """
    return {"grnboost2_same_cells": _boosting(data, _SameCellsStop)}


def _reported_stop(step: int, trees: Any, _: dict[str, Any]) -> bool:
    """Return whether the improvement that scikit-learn reports was negative on average over the last 25 trees."""
    return step >= N_LAST - 1 and bool(trees.oob_improvement_[step - N_LAST + 1 : step + 1].mean() < 0)


class _SameCellsStop:
    """The same, with the errors before and after a tree taken on the cells that this tree did not see."""

    def __init__(self) -> None:
        self.improvements: list[float] = []
        self.before: np.ndarray | None = None

    def __call__(self, _step: int, _trees: Any, fit: dict[str, Any]) -> bool:
        target, after, unseen = fit["y"], fit["raw_predictions"][:, 0].copy(), ~fit["sample_mask"]
        before = np.full_like(after, target.mean()) if self.before is None else self.before
        gain = (target - before)[unseen] ** 2 - (target - after)[unseen] ** 2
        self.improvements.append(gain.mean())
        self.before = after
        return len(self.improvements) >= N_LAST and bool(np.mean(self.improvements[-N_LAST:]) < 0)


def _boosting(data: DataSet, make_stop: Callable[[], Callable[..., bool]]) -> np.ndarray:
    from sklearn.ensemble import GradientBoostingRegressor

    def importances(inputs: np.ndarray, target: np.ndarray) -> np.ndarray:
        trees = GradientBoostingRegressor(
            learning_rate=0.01, n_estimators=500, max_features=0.1, subsample=0.9, random_state=data.seed
        )
        trees.fit(inputs, target, monitor=make_stop())
        return trees.feature_importances_ * len(trees.estimators_)

    return _per_target(data, importances)


def _per_target(data: DataSet, importances: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """Return importances of the regulators for each target, itself excluded, with the sign of the correlation."""
    inputs = data.z_expr[:, data.regulator_index].astype(np.float32)

    def one(target: int) -> np.ndarray:
        others = data.pair_mask[:, target]
        weight = np.zeros(len(others))
        weight[others] = importances(inputs[:, others], data.z_expr[:, target])
        return weight

    columns = Parallel(n_jobs=N_THREADS, prefer="threads")(delayed(one)(target) for target in range(len(data.genes)))
    return np.stack(columns, axis=1) * np.sign(correlation(data.z_expr)[data.regulator_index])


def regdiffusion(data: DataSet) -> Maps:
    """Return the adjacency matrix of RegDiffusion with its default settings; it refuses constant genes, which get 0."""
    from regdiffusion import RegDiffusionTrainer

    varying = np.flatnonzero(data.z_expr.any(axis=0))
    trainer = RegDiffusionTrainer(data.log_expr[:, varying].astype(np.float32), device="cpu", seed=data.seed)
    with contextlib.redirect_stderr(io.StringIO()):  # a progress bar that cannot be switched off
        trainer.train()
    weight = np.zeros((len(data.genes), len(data.genes)), dtype=np.float32)
    weight[np.ix_(varying, varying)] = trainer.get_adj()
    return {"regdiffusion": weight[data.regulator_index]}
