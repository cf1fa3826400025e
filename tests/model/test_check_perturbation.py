"""Where perturbed cells were observed, predictions stand beside baselines."""

import anndata
import numpy as np
import pytest
import scvi
from anndata import AnnData

from scdual.datasets import simulate
from scdual.model import PerturbationCheck, SCDual

OPTIONS = {"n_vars": 60, "n_regulators": 6, "n_cell_types": 3, "library_size": 1_000, "seed": 3}


@pytest.fixture(scope="module")
def cells() -> AnnData:
    """Return other cells than those of the training, with and without each of three regulators, and of other genes."""
    parts = {"control": simulate(800, **OPTIONS)[400:]}
    parts |= {name: simulate(800, knockout=name, **OPTIONS)[400:600] for name in ("REG01", "REG02", "REG03", "GENE001")}
    parts["GATA1"] = parts["control"][:20]
    parts["REG04"] = parts["control"][:5]
    return anndata.concat(parts, label="perturbation", index_unique="-")


@pytest.fixture(scope="module")
def model() -> SCDual:
    scvi.settings.seed = 0
    adata = simulate(800, **OPTIONS)[:400].copy()
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator")
    model.train(1, enable_progress_bar=False)
    return model


@pytest.fixture(scope="module")
def check(model: SCDual, cells: AnnData) -> PerturbationCheck:
    return model.check_perturbation(cells, "perturbation", "control")


def test_every_regulator_is_judged_beside_every_baseline(check: PerturbationCheck) -> None:
    methods = ["scdual", "no change", "correlation", "ridge", "target mean"]
    assert check.scores["method"].tolist() == methods * 3
    assert check.scores["regulator"].unique().tolist() == ["REG01", "REG02", "REG03"]
    assert (check.scores["n_cells"] == 200).all()
    silent = check.scores[check.scores["method"] == "no change"]
    assert (silent[["spearman", "error"]] == [0, 1]).all(axis=None)
    assert all(method in repr(check) for method in methods)


def test_what_is_left_out_has_its_reason(check: PerturbationCheck) -> None:
    assert check.left_out["GATA1"] == "not among the genes"
    assert check.left_out["GENE001"] == "no regulator"
    assert check.left_out["REG04"].startswith("no batch has 10 of its cells")
    assert set(check.left_out) == {"GATA1", "GENE001", "REG04"}


def test_directions_of_simulated_knock_outs_are_mostly_right(check: PerturbationCheck) -> None:
    moved = check.moved.to_numpy()
    assert moved.sum() > 20
    agree = np.sign(check.predicted["scdual"]) == np.sign(check.observed)
    assert agree.to_numpy()[moved].mean() > 0.8
    summary = check.summary()
    assert summary.at["scdual", "spearman"] > summary.at["target mean", "spearman"]


def test_predictions_are_those_of_perturb(model: SCDual, cells: AnnData, check: PerturbationCheck) -> None:
    control = cells[cells.obs["perturbation"] == "control"].copy()
    effects = model.perturb({"REG02": 0}, adata=control, shift=False).effects["log_change"].drop("REG02")
    np.testing.assert_allclose(check.predicted["scdual"].loc["REG02", effects.index], effects, rtol=1e-4, atol=1e-6)
    direct = model.check_perturbation(cells, "perturbation", "control", rounds=0)
    assert not np.allclose(direct.predicted["scdual"], check.predicted["scdual"])


def test_a_model_that_saw_the_perturbed_cells_warns(cells: AnnData) -> None:
    adata = cells.copy()
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators=["REG01", "REG02"])
    model.train(1, enable_progress_bar=False)
    with pytest.warns(UserWarning, match="was trained on perturbed cells, too, so the scores are too good"):
        model.check_perturbation(adata, "perturbation", "control")


def test_without_a_perturbed_regulator_there_is_nothing_to_judge(model: SCDual, cells: AnnData) -> None:
    few = cells[cells.obs["perturbation"].isin(["control", "GATA1"])].copy()
    with pytest.raises(
        ValueError, match="None of the perturbations in `obs.'perturbation'.` can be judged .*GATA1: not among"
    ):
        model.check_perturbation(few, "perturbation", "control")
