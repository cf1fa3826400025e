"""A run is repeated from its record alone, bit by bit."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from anndata import AnnData
from lightning.pytorch.callbacks import Callback

from scdual.datasets import simulate, simulate_mudata
from scdual.model import SCDual, _record
from scdual.model._record import Record

SMALL = {"n_embed": 8, "n_hidden": 8, "n_latent": 2, "n_pool": 2, "n_heads": 1}
PRIOR = pd.DataFrame({"source": ["REG01", "REG02"], "target": ["GENE001", "GENE002"], "weight": [2.0, -1.0]})


@pytest.fixture
def adata() -> AnnData:
    return simulate(60, 12, n_regulators=3, n_batches=2)


def built(adata: AnnData, **arguments: Any) -> SCDual:
    SCDual.setup_anndata(adata, batch_key="batch", labels_key="cell_type")
    return SCDual(adata, regulators="regulator", **SMALL, **arguments)


def same_weights(first: SCDual, second: SCDual) -> bool:
    one, two = first.module.state_dict(), second.module.state_dict()
    states = zip([one, *first.ensemble_, first.null_], [two, *second.ensemble_, second.null_], strict=True)
    return all(list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a) for a, b in states)


def test_a_run_is_repeated_from_its_folder(adata: AnnData, tmp_path: Path) -> None:
    raw = adata.copy()
    torch.rand(5)  # what a notebook does between the seed and the model
    model = built(adata)
    torch.rand(7)
    model.train(2, batch_size=32, plan_kwargs={"lr": 2e-3}, train_size=0.8, early_stopping=True)
    model.save(tmp_path / "model")
    scvi.settings.seed = 5
    assert same_weights(SCDual.repeat(raw, tmp_path / "model"), model)
    assert scvi.settings.seed == 5


def test_a_run_is_repeated_from_an_annotated_file(adata: AnnData, tmp_path: Path) -> None:
    model = built(adata)
    model.train(1)
    model.train(1, batch_size=16)
    model.annotate(groupby="cell_type")
    adata.write_h5ad(tmp_path / "annotated.h5ad")
    found = anndata.read_h5ad(tmp_path / "annotated.h5ad")
    torch.rand(3)
    assert same_weights(SCDual.repeat(found, found.uns["scdual"]), model)


def test_an_ensemble_is_repeated(adata: AnnData, tmp_path: Path) -> None:
    raw, model = adata.copy(), built(adata)
    model.train(1)
    model.train_ensemble(2, enable_progress_bar=False)
    model.save(tmp_path / "model")
    repeated = SCDual.repeat(raw, tmp_path / "model")
    assert len(repeated.ensemble_) == 2
    assert same_weights(repeated, model)


def test_a_training_after_loading_is_part_of_the_run(adata: AnnData, tmp_path: Path) -> None:
    raw, model = adata.copy(), built(adata)
    model.train(1)
    model.save(tmp_path / "model")
    loaded = SCDual.load(tmp_path / "model", adata)
    loaded.train(1)
    loaded.save(tmp_path / "again")
    assert same_weights(SCDual.repeat(raw, tmp_path / "again"), loaded)


@pytest.mark.filterwarnings("ignore:The method mod_names is deprecated:FutureWarning")
def test_a_run_on_mudata_is_repeated(tmp_path: Path) -> None:
    mdata = simulate_mudata(60, 36, n_proteins=3, n_regulators=4)
    raw = mdata.copy()
    SCDual.setup_mudata(mdata, modalities={"rna_layer": "rna"})
    model = SCDual(mdata, regulators="regulator", **SMALL)
    model.train(1)
    model.save(tmp_path / "model")
    assert same_weights(SCDual.repeat(raw, tmp_path / "model"), model)


def test_a_run_with_a_prior_is_repeated(adata: AnnData, tmp_path: Path) -> None:
    raw, model = adata.copy(), built(adata, prior=PRIOR)
    model.train(1)
    model.save(tmp_path / "model")
    model.annotate()
    assert same_weights(SCDual.repeat(raw.copy(), tmp_path / "model"), model)
    parameters = adata.uns["scdual"]
    assert same_weights(SCDual.repeat(raw.copy(), parameters, prior=PRIOR), model)
    with pytest.raises(
        ValueError, match="it had a prior, of which this source holds only the hash; pass it as `prior`"
    ):
        SCDual.repeat(raw.copy(), parameters)
    with pytest.raises(ValueError, match="The prior is not that of the run"):
        SCDual.repeat(raw.copy(), parameters, prior=PRIOR.assign(weight=[2.0, 1.0]))


@pytest.mark.parametrize("change", ["counts", "genes", "batch"])
def test_other_data_are_refused(adata: AnnData, tmp_path: Path, change: str) -> None:
    raw, model = adata.copy(), built(adata)
    model.train(1)
    model.save(tmp_path / "model")
    if change == "counts":
        raw.X.data[3] += 1
    elif change == "genes":
        raw.var_names = [*raw.var_names[:-1], "NEW"]
    else:
        raw.obs["batch"] = raw.obs["batch"].to_numpy()[::-1]
    with pytest.raises(ValueError, match="of the data are not those of the run"):
        SCDual.repeat(raw, tmp_path / "model")


def test_without_a_seed_the_record_says_so(adata: AnnData, tmp_path: Path) -> None:
    scvi.settings.seed = None
    raw, model = adata.copy(), built(adata)
    model.train(1)
    model.annotate()
    assert adata.uns["scdual"]["seed"] == adata.uns["scdual"]["seed_at_construction"] == "not set"
    with pytest.raises(ValueError, match="cannot be repeated: it was trained without a seed"):
        SCDual.repeat(raw, adata.uns["scdual"])


def test_a_model_built_without_a_seed_and_trained_with_one_is_repeated(adata: AnnData) -> None:
    scvi.settings.seed = None
    raw, model = adata.copy(), built(adata)
    scvi.settings.seed = 3
    model.train(1)
    model.annotate()
    assert same_weights(SCDual.repeat(raw, adata.uns["scdual"]), model)


def test_what_is_not_plain_is_named(adata: AnnData, tmp_path: Path) -> None:
    raw, model = adata.copy(), built(adata)
    model.train(1, callbacks=[Callback()])
    model.save(tmp_path / "model")
    with pytest.raises(ValueError, match=r"the arguments \['callbacks'\] of `train` are no plain values"):
        SCDual.repeat(raw, tmp_path / "model")


def test_a_query_begins_with_its_reference(adata: AnnData, tmp_path: Path) -> None:
    reference = built(adata)
    reference.train(1)
    reference.save(tmp_path / "reference")
    query = SCDual.load_query_data(adata.copy(), tmp_path / "reference", unfrozen=True)
    (step,) = query.record_.steps
    assert step.arguments["unfrozen"] is True
    assert len(step.arguments["reference_sha256"]) == 64
    query.save(tmp_path / "query")
    with pytest.raises(ValueError, match="its record begins with `load_query_data`, not with the construction"):
        SCDual.repeat(adata.copy(), tmp_path / "query")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "__init__"}, "it went on with `__init__`"),
        ({"stopped": "KeyboardInterrupt"}, "its training was stopped by KeyboardInterrupt"),
        ({"arguments": {"ckpt_path": "http://x/y.ckpt"}}, "it went on from a checkpoint"),
        ({"data": {"counts": "other"}}, "it was trained on other data later"),
    ],
)
def test_what_cannot_be_repeated_is_said(adata: AnnData, change: dict[str, Any], message: str) -> None:
    raw, model = adata.copy(), built(adata)
    model.train(1)
    build, train = model.record_.steps
    record = replace(model.record_, steps=(build, replace(train, **change)))
    with pytest.raises(ValueError, match=f"The run cannot be repeated: {message}"):
        SCDual.repeat(raw, record.to_uns())


def test_only_methods_of_set_up_are_called(adata: AnnData) -> None:
    model = built(adata)
    record = replace(model.record_, setup={"method": "load", "arguments": {}})
    with pytest.raises(ValueError, match="its data were registered with `load`"):
        SCDual.repeat(adata.copy(), record.to_uns())


@pytest.mark.parametrize("parameters", [{}, {"version": "0.1.0"}, {"run": "nonsense"}])
def test_without_a_record_the_message_says_so(adata: AnnData, parameters: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="holds no 'run'|Expecting value"):
        SCDual.repeat(adata, parameters)


def test_other_versions_are_a_warning(adata: AnnData, monkeypatch: pytest.MonkeyPatch) -> None:
    raw, model = adata.copy(), built(adata)
    model.train(1)
    uns, now = model.record_.to_uns(), _record.versions()
    monkeypatch.setattr("scdual.model._repeat.versions", lambda: now | {"torch": "99"})
    with pytest.warns(
        UserWarning, match=rf"The run was made with torch {torch.__version__.replace('+', '.')} \(now 99\)"
    ):
        SCDual.repeat(raw, uns)


def test_the_record_comes_back_from_text(adata: AnnData) -> None:
    model = built(adata)
    model.train(1)
    assert Record.from_uns(model.record_.to_uns()) == model.record_
    np.testing.assert_equal(model.record_.to_plain(), Record.from_plain(model.record_.to_plain()).to_plain())
