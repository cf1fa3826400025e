"""Ensembles that several jobs have learnt become the one of a single process."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scvi
import torch
from anndata import AnnData

from scdual.datasets import simulate
from scdual.model import SCDual

Job = Callable[..., SCDual]


def cells() -> AnnData:
    return simulate(200, 30, n_regulators=4, edges_per_target=(1, 2), library_size=2_000, n_batches=2)


def job(
    seed: int | None, *, data: AnnData | None = None, n_ensemble: int = 2, epochs: int = 1, **options: Any
) -> SCDual:
    """Return what a job of its own has trained."""
    data = cells() if data is None else data
    scvi.settings.seed = seed
    SCDual.setup_anndata(data, batch_key=options.pop("batch_key", "batch"))
    within = options.pop("permute_within", None)
    model = SCDual(data, **({"regulators": "regulator"} | options))
    model.train(epochs, enable_progress_bar=False)
    if n_ensemble:
        model.train_ensemble(n_ensemble, permute_within=within, enable_progress_bar=False)
    return model


@pytest.fixture(scope="module")
def first() -> SCDual:
    return job(0)


@pytest.fixture(scope="module")
def second() -> SCDual:
    return job(1, n_ensemble=3, epochs=2)


def fresh(model: SCDual, folder: Path) -> SCDual:
    """Return a copy, as another process would load it."""
    model.save(folder, overwrite=True)
    return SCDual.load(folder, adata=cells())


def test_the_result_is_that_of_one_process(first: SCDual, second: SCDual, tmp_path: Path) -> None:
    merged = fresh(first, tmp_path / "first")
    merged.merge_ensembles([fresh(second, tmp_path / "second")])
    one, members = fresh(first, tmp_path / "first"), []
    for seed, n_ensemble in ((0, 2), (1, 3)):  # one process, one model, both seeds
        scvi.settings.seed = seed
        one.train_ensemble(n_ensemble, enable_progress_bar=False)
        members += one.ensemble_networks()
    found = merged.ensemble_networks()
    assert len(found) == 5
    for network, expected in zip(found, members, strict=True):
        np.testing.assert_array_equal(network.weight, expected.weight)
        assert network.n_edges
    weights = np.stack([network.weight for network in members])
    network = merged.get_regulation()
    np.testing.assert_array_equal(network.weight, first.get_regulation().weight)
    np.testing.assert_allclose(network.evidence.sd, weights.std(axis=0, ddof=1), rtol=1e-5, atol=1e-7)
    agree = (np.sign(weights) == np.sign(network.weight)).mean(axis=0) * (network.weight != 0)
    np.testing.assert_allclose(network.evidence.support, agree)
    np.testing.assert_array_equal(merged.get_latent_representation(), first.get_latent_representation())


def test_the_order_changes_no_evidence_of_resampling(first: SCDual, second: SCDual, tmp_path: Path) -> None:
    third = job(2)
    evidence = []
    for others in ([second, third], [third, second]):
        merged = fresh(first, tmp_path / "model")
        merged.merge_ensembles(others)
        evidence.append(merged.get_regulation().evidence)
    np.testing.assert_allclose(evidence[0].sd, evidence[1].sd, rtol=1e-5)
    np.testing.assert_array_equal(evidence[0].support, evidence[1].support)


def test_a_merged_model_knows_its_seeds_when_it_is_loaded(first: SCDual, second: SCDual, tmp_path: Path) -> None:
    merged = fresh(first, tmp_path / "model")
    merged.merge_ensembles([second])
    loaded = fresh(merged, tmp_path / "merged")
    for seed, model in ((0, first), (1, second)):
        with pytest.raises(ValueError, match=rf"`others\[0\]` was learnt with seed {seed}"):
            loaded.merge_ensembles([model])
    loaded.merge_ensembles([job(2)])
    assert len(loaded.ensemble_) == 7
    loaded.annotate()
    assert loaded.adata.uns["scdual"]["trainings"]["3_merge_ensembles"]["seeds"] == "[1]"
    with pytest.raises(ValueError, match="cannot be repeated: it went on with `merge_ensembles`"):
        SCDual.repeat(cells(), loaded.adata.uns["scdual"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 0}, r"`others\[0\]` was learnt with seed 0 as the model was.*; give each its own seed"),
        ({"seed": 3, "n_ensemble": 0}, r"`others\[0\]` has no ensemble to merge; call `train_ensemble` first"),
        (
            {"seed": 3, "data": cells()[::-1].copy()},
            "has other counts than the model, so their ensembles are not of one kind; fit both",
        ),
        ({"seed": 3, "data": cells()[:, ::-1].copy()}, "has other genes than"),
        ({"seed": 3, "regulators": ["REG01", "REG02"]}, "has other regulators than the model"),
        ({"seed": 3, "n_bins": 5}, "has other arguments of `SCDual` than the model"),
        ({"seed": 3, "batch_key": None}, "has other arguments of set-up than"),
        ({"seed": 3, "permute_within": "cell_type"}, "has other arguments of `train_ensemble` than"),
    ],
)
def test_what_does_not_belong_together_is_refused(first: SCDual, options: dict[str, Any], message: str) -> None:
    before = first.ensemble_
    with pytest.raises(ValueError, match=message):
        first.merge_ensembles([job(**options)])
    assert first.ensemble_ is before


def test_all_are_checked_before_any_is_merged(first: SCDual, second: SCDual) -> None:
    before = first.ensemble_
    with pytest.raises(ValueError, match=r"`others\[1\]` was learnt with seed 1"):
        first.merge_ensembles([second, second])
    with pytest.raises(TypeError, match=r"`others\[0\]` is of type str, expected SCDual"):
        first.merge_ensembles(["model"])
    with pytest.raises(TypeError, match="Pass a list of models"):
        first.merge_ensembles(second)
    with pytest.raises(ValueError, match="`others` is empty"):
        first.merge_ensembles([])
    assert first.ensemble_ is before


def test_without_seeds_copies_are_found_all_the_same() -> None:
    model = job(None)
    with pytest.raises(ValueError, match="was learnt with the same seed"):
        model.merge_ensembles([model])
    other = job(None)
    model.merge_ensembles([other])
    assert len(model.ensemble_) == 4


def test_a_model_of_early_days_is_refused(first: SCDual, second: SCDual, tmp_path: Path) -> None:
    old = fresh(second, tmp_path / "model")
    old.record_ = None
    with pytest.raises(ValueError, match="does not say how its ensemble was learnt"):
        first.merge_ensembles([old])


def test_members_are_copies(first: SCDual, second: SCDual, tmp_path: Path) -> None:
    merged = fresh(first, tmp_path / "model")
    merged.merge_ensembles([second])
    merged.ensemble_[-1]["known.weight"].fill_(torch.nan)
    assert second.ensemble_[-1]["known.weight"].isfinite().all()
