"""Saving is whole or not at all, loading runs no code, and what the format cannot do is said in one sentence."""

import json
import pickle
import shutil
import warnings
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from anndata import AnnData
from mudata import MuData
from safetensors.torch import load_file
from scvi.model.base import BaseModelClass

from scdual import _saved
from scdual.datasets import simulate, simulate_mudata
from scdual.model import SCDual, _saved_model

SMALL = {"n_embed": 8, "n_hidden": 8, "n_latent": 2, "n_pool": 2, "n_heads": 1}
FILES = {"model.json", "model.safetensors"}


@pytest.fixture(scope="module")
def tiny() -> SCDual:
    """Do not change this model or its data: other tests of the file use them."""
    scvi.settings.seed = 0
    adata = simulate(60, 12, n_regulators=3, n_batches=2)
    SCDual.setup_anndata(adata, batch_key="batch")
    model = SCDual(adata, regulators="regulator", **SMALL)
    model.train(1)
    return model


@pytest.fixture
def folder(tiny: SCDual, tmp_path: Path) -> Path:
    tiny.save(tmp_path / "model", save_anndata=True)
    return tmp_path / "model"


@pytest.fixture
def old_folder(tiny: SCDual, tmp_path: Path) -> Path:
    """Return a folder as scdual 0.1 left it."""
    BaseModelClass.save(tiny, str(tmp_path / "old"), save_anndata=True)
    return tmp_path / "old"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def same_weights(first: SCDual, second: SCDual) -> bool:
    one, two = first.module.state_dict(), second.module.state_dict()
    return list(one) == list(two) and all(torch.equal(one[key], two[key]) for key in one)


@pytest.fixture
def no_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: Any, **_kwargs: Any) -> None:
        pytest.fail("a pickle was opened")

    monkeypatch.setattr(torch, "load", refuse)
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)


@pytest.mark.usefixtures("no_pickle")
def test_no_pickle_is_opened(tiny: SCDual, folder: Path) -> None:
    assert names(folder) == FILES | {"adata.h5ad"}
    assert same_weights(SCDual.load(folder), tiny)
    SCDual.load_registry(folder)
    SCDual.load_query_data(tiny.adata.copy(), folder)
    SCDual.prepare_query_anndata(tiny.adata.copy(), folder, return_reference_var_names=True)


def test_every_attribute_comes_back_as_it_was(tiny: SCDual, folder: Path) -> None:
    loaded = SCDual.load(folder)
    for name, value in vars(tiny).items():
        if name.endswith("_") and name not in {"ensemble_", "history_", "registry_"}:
            np.testing.assert_equal(getattr(loaded, name), value)
    assert loaded.registry_["setup_args"] == tiny.registry_["setup_args"]
    for name, table in tiny.history.items():
        pd.testing.assert_frame_equal(loaded.history[name], table)


def test_a_history_that_is_not_finite_comes_back(tiny: SCDual, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pd.DataFrame({"train_loss": [np.nan, np.inf, 0.1]}, index=pd.Index([0, 1, 2], name="epoch"))
    monkeypatch.setattr(tiny, "history_", {"train_loss": table})
    tiny.save(tmp_path / "model")
    pd.testing.assert_frame_equal(SCDual.load(tmp_path / "model", adata=False).history["train_loss"], table)


@pytest.mark.parametrize("batches", [[3, 7], [True, False], [1.5, 2.5]])
def test_categories_of_any_kind_come_back(tmp_path: Path, batches: list[Any]) -> None:
    adata = simulate(60, 12, n_regulators=3)
    adata.obs["batch"] = pd.Categorical([batches[i % 2] for i in range(60)])
    SCDual.setup_anndata(adata, batch_key="batch")
    model = SCDual(adata, regulators="regulator", **SMALL)
    model.save(tmp_path / "model", save_anndata=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = SCDual.load(tmp_path / "model")
    np.testing.assert_array_equal(
        loaded._state("batch")["categorical_mapping"], model._state("batch")["categorical_mapping"]
    )
    assert loaded._state("batch")["categorical_mapping"].dtype == model._state("batch")["categorical_mapping"].dtype


def test_the_ensemble_is_saved(tiny: SCDual, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members = [{"gate.a": torch.full((2, 3), float(k)), "scale.n": torch.tensor(k)} for k in range(11)]
    monkeypatch.setattr(tiny, "ensemble_", members)
    monkeypatch.setattr(tiny, "null_", {"gate.a": torch.ones(2)})
    tiny.save(tmp_path / "model")
    loaded = SCDual.load(tmp_path / "model", adata=False)
    assert len(loaded.ensemble_) == 11
    for found, expected in zip([*loaded.ensemble_, loaded.null_], [*members, {"gate.a": torch.ones(2)}], strict=True):
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_other_tools_can_read_the_weights(tiny: SCDual, folder: Path) -> None:
    found = load_file(folder / "model.safetensors")
    for name, values in tiny.module.state_dict().items():
        assert torch.equal(found[f"module.{name}"], values)


def test_a_weight_that_was_renamed_is_found(folder: Path, tiny: SCDual, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "model.safetensors"
    old = {name.replace("module.map.gate.", "module.door."): values for name, values in load_file(path).items()}
    from safetensors.torch import save_file

    save_file(old, path)
    manifest = json.loads((folder / "model.json").read_text())
    manifest["files"]["model.safetensors"] = _saved._describe(path)
    del manifest["sha256"]
    (folder / "model.json").write_text(json.dumps(manifest | {"sha256": _saved._checksum(manifest)}))
    adata = tiny.adata.copy()
    del adata.uns["_scvi_uuid"], adata.obs["_scvi_batch"]
    with pytest.raises(ValueError, match=r"weights in .* do not fit the model that it describes, e\.g\. \['door"):
        SCDual.load(folder, adata)
    assert "_scvi_uuid" not in adata.uns
    assert "_scvi_batch" not in adata.obs
    monkeypatch.setattr(_saved_model, "RENAMED_WEIGHTS", {_saved.VERSION: {"door.": "map.gate."}})
    assert same_weights(SCDual.load(folder), tiny)


def test_names_of_older_versions_go_through_every_change(monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {0: {"door.": "map.gate.", "do": "x"}, 1: {"map.gate.": "map.sign."}}
    monkeypatch.setattr(_saved_model, "RENAMED_WEIGHTS", changes)
    today = _saved_model._name_today
    assert today("module.door.a", 0) == "module.map.sign.a"
    assert today("ensemble.10.door.a", 0) == "ensemble.10.sign.a"  # in version 0 named as in the module
    assert today("ensemble.10.gate.a", 1) == "ensemble.10.sign.a"  # since then as in the map
    assert today("null.gate.a", 2) == "null.gate.a"
    assert today("module.cell.door.a", 0) == "module.cell.door.a"


def test_the_format_of_scvi_tools_needs_trust(old_folder: Path) -> None:
    uses = [
        lambda: SCDual.load(old_folder),
        lambda: SCDual.load_registry(old_folder),
        lambda: SCDual.view_setup_args(old_folder),
        lambda: SCDual.load_query_data(simulate(20, 12, n_regulators=3), old_folder),
        lambda: SCDual.prepare_query_anndata(simulate(20, 12, n_regulators=3), old_folder),
    ]
    for use in uses:
        with pytest.raises(ValueError, match=r"a pickle, which can run any code .* trust=True"):
            use()


def test_the_format_of_scvi_tools_is_read_with_trust(tiny: SCDual, old_folder: Path, tmp_path: Path) -> None:
    loaded = SCDual.load(old_folder, trust=True)
    assert same_weights(loaded, tiny)
    np.testing.assert_array_equal(loaded.get_latent_representation(), tiny.get_latent_representation())
    np.testing.assert_array_equal(loaded.train_indices, tiny.train_indices)
    assert SCDual.load_registry(old_folder, trust=True)["model_name"] == "SCDual"
    loaded.save(tmp_path / "new")
    assert same_weights(SCDual.load(tmp_path / "new", tiny.adata), tiny)


def test_a_model_of_scdual_0_1_has_no_record(tmp_path: Path) -> None:
    adata = simulate(60, 12, n_regulators=3)
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator", **SMALL)
    del model.record_
    BaseModelClass.save(model, str(tmp_path / "old"))
    loaded = SCDual.load(tmp_path / "old", adata, trust=True)
    assert loaded.record_ is None
    loaded.train(1)
    assert [step.name for step in loaded.record_.steps] == ["train"]
    loaded.annotate()
    assert adata.uns["scdual"]["seed_at_construction"] == "not recorded"


@pytest.mark.parametrize("content", [b"", b"nonsense", pickle.dumps({"a": 1})])
def test_a_pickle_that_is_no_model_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.pt cannot be read as a model of scvi-tools"):
        SCDual.load(tmp_path, trust=True)


def test_trust_does_not_hide_that_there_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist, expected the folder of a saved model"):
        SCDual.load(tmp_path / "nowhere", trust=True)
    with pytest.raises(ValueError, match=r"holds no model\.json"):
        SCDual.load(tmp_path, trust=True)


def test_the_older_model_of_the_same_name_is_replaced(tiny: SCDual, old_folder: Path) -> None:
    torch.save({"mine": 1}, old_folder / "other_model.pt")
    tiny.save(old_folder, overwrite=True)
    assert names(old_folder) == FILES | {"adata.h5ad", "other_model.pt"}


def test_the_pickle_of_another_program_stays(tiny: SCDual, tmp_path: Path) -> None:
    torch.save({"mine": 1}, tmp_path / "model.pt")
    tiny.save(tmp_path, overwrite=True)
    assert names(tmp_path) == FILES | {"model.pt"}
    assert SCDual.load(tmp_path, adata=False, trust=True).is_trained


def test_a_model_of_another_class_is_not_written_over(tiny: SCDual, tmp_path: Path) -> None:
    adata = tiny.adata.copy()
    scvi.model.SCVI.setup_anndata(adata)
    scvi.model.SCVI(adata).save(tmp_path / "scvi", save_anndata=True)
    before = contents(tmp_path / "scvi")
    for save_anndata in (True, False):
        with pytest.raises(ValueError, match=r"model\.pt is a model of another class .* choose another folder"):
            tiny.save(tmp_path / "scvi", overwrite=True, save_anndata=save_anndata)
    assert contents(tmp_path / "scvi") == before


def test_other_files_in_the_folder_stay(tiny: SCDual, folder: Path) -> None:
    (folder / "notes").mkdir()
    (folder / "notes" / "thesis.txt").write_text("mine")
    tiny.save(folder, overwrite=True)
    assert (folder / "notes" / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["adata.h5ad", "model.json", "model.safetensors"])
def test_a_file_of_the_user_is_not_written_over(tiny: SCDual, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(ValueError, match="was not saved with a model and would be lost; choose another folder"):
        tiny.save(tmp_path, overwrite=True, save_anndata=True)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("options", [{"compresion": "gzip"}, {"compression": "nonsense"}])
def test_a_failure_leaves_the_old_model(tiny: SCDual, folder: Path, options: dict[str, str]) -> None:
    before = contents(folder)
    with pytest.raises((TypeError, ValueError)):
        tiny.save(folder, overwrite=True, save_anndata=True, **options)
    assert contents(folder) == before


def test_a_failure_leaves_no_new_folder(tiny: SCDual, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny, "mine_", print, raising=False)
    with pytest.raises(TypeError, match=r"`model\.attributes\.mine_` is of type builtin_function_or_method"):
        tiny.save(tmp_path / "new")
    assert names(tmp_path) == set()


def test_folders_in_between_are_made(tiny: SCDual, tmp_path: Path) -> None:
    tiny.save(tmp_path / "a" / "b")
    assert names(tmp_path / "a" / "b") == FILES
    assert names(tmp_path / "a") == {"b"}


def test_data_on_disk_stay_where_they_are(tmp_path: Path) -> None:
    simulate(60, 12, n_regulators=3).write_h5ad(tmp_path / "counts.h5ad")
    adata = anndata.read_h5ad(tmp_path / "counts.h5ad", backed="r+")
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators="regulator", **SMALL)
    model.save(tmp_path / "model", save_anndata=True)
    assert adata.filename == tmp_path / "counts.h5ad"
    assert np.asarray(adata.X[:2].sum()) > 0
    np.testing.assert_array_equal(SCDual.load(tmp_path / "model").adata.X.toarray(), adata.to_memory().X.toarray())


def test_data_of_an_earlier_save_are_kept_but_not_taken_for_those_of_the_model(tiny: SCDual, folder: Path) -> None:
    tiny.save(folder, overwrite=True)
    assert names(folder) == FILES | {"adata.h5ad"}
    with pytest.warns(UserWarning, match=r"loaded without anndata.*adata\.h5ad beside it belongs to another save"):
        assert SCDual.load(folder).adata is None


def test_data_that_were_cut_off_are_one_sentence(tiny: SCDual, folder: Path) -> None:
    path = folder / "adata.h5ad"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"adata\.h5ad is damaged, for it has \d+ bytes and \d+ were written"):
        SCDual.load(folder)
    assert same_weights(SCDual.load(folder, tiny.adata), tiny)  # which does not need them


def test_old_data_that_were_cut_off_are_one_sentence(old_folder: Path) -> None:
    path = old_folder / "adata.h5ad"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"adata\.h5ad cannot be read .*; pass the data as `adata`"):
        SCDual.load(old_folder, trust=True)


REFUSED = {
    "save_kwargs": (lambda model, path: model.save(path, save_kwargs={"a": 1}), "arguments of `torch.save`"),
    "legacy_mudata_format": (lambda model, path: model.save(path, legacy_mudata_format=True), "a format of scvi-tools"),
    "unknown": (
        lambda model, path: model.save(path, overwritee=True),
        r"knows no \['overwritee'\]. Did you mean 'overwrite'",
    ),
    "unknown_with_data": (
        lambda model, path: model.save(path, save_anndata=True, overwite=True),
        r"knows no \['overwite'\]. Did you mean 'overwrite'",
    ),
    "writes_data": (lambda model, path: model.save(path, compression="gzip"), "need `save_anndata=True`"),
    "no_folder": (
        lambda model, path: model.save(None),
        "`dir_path` is None of type NoneType, expected str or PathLike",
    ),
    "load_number": (lambda model, path: model.load(3), "`dir_path` is 3 of type int, expected str or PathLike"),
    "repeat_run": (
        lambda model, path: model.repeat(model.adata, {"run": "x"}),
        "`source` holds a 'run' that scdual cannot have written",
    ),
    "repeat_empty": (
        lambda model, path: model.repeat(model.adata, {"run": "{}"}),
        "`source` holds a 'run' that scdual cannot have written",
    ),
    "repeat": (lambda model, path: model.repeat(model.adata, 3), "`source` is 3 of type int, expected str or PathLike"),
    "prefix": (lambda model, path: model.save(path, prefix="a/b"), "expected the beginning of a file name"),
    "up": (lambda model, path: model.save(path, prefix="../x"), "expected the beginning of a file name"),
    "number": (lambda model, path: model.save(path, prefix=3), "expected the beginning of a file name"),
    "load_prefix": (lambda model, path: model.load(path, prefix="a/b"), "expected the beginning of a file name"),
    "backup_url": (lambda model, path: model.load(path, backup_url="http://x"), "download the folder first"),
    "datamodule": (
        lambda model, path: model.load(path, datamodule=object()),
        "of type object, expected LightningDataModule",
    ),
    "adata": (lambda model, path: model.load(path, "data.h5ad"), "`adata` is of type str, expected AnnData"),
    "legacy": (lambda model, path: model.convert_legacy_save(path, path), "SCDual is younger than the format"),
}


@pytest.mark.parametrize(("use", "message"), REFUSED.values(), ids=REFUSED)
def test_what_makes_no_sense_is_refused(tiny: SCDual, tmp_path: Path, use: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError, NotImplementedError), match=message):
        use(tiny, tmp_path / "model")
    assert names(tmp_path) == set()


def test_defaults_of_scvi_tools_are_accepted(tiny: SCDual, tmp_path: Path) -> None:
    tiny.save(tmp_path / "model", None, False, False, None, False, None)
    SCDual.load(tmp_path / "model", False, "cpu", "auto", None, None, None, None)


@pytest.mark.parametrize("method", ["convert_legacy_save", "load", "__init__", None])
def test_only_methods_of_set_up_are_called(folder: Path, method: str | None) -> None:
    manifest = json.loads((folder / "model.json").read_text())
    manifest["content"]["attributes"]["registry_"]["setup_method_name"] = method
    del manifest["sha256"]
    (folder / "model.json").write_text(json.dumps(manifest | {"sha256": _saved._checksum(manifest)}))
    with pytest.raises(ValueError, match=r"as the method of set-up, expected one of"):
        SCDual.load(folder)


def test_only_attributes_that_are_saved_are_set(folder: Path) -> None:
    manifest = json.loads((folder / "model.json").read_text())
    manifest["content"]["attributes"] |= {"train": 1, "__class__": 2, "_adata": 3}
    del manifest["sha256"]
    (folder / "model.json").write_text(json.dumps(manifest | {"sha256": _saved._checksum(manifest)}))
    loaded = SCDual.load(folder)
    assert callable(loaded.train)
    assert isinstance(loaded.adata, AnnData)


@pytest.mark.filterwarnings("ignore:The method mod_names is deprecated:FutureWarning")
def test_mudata_come_back_and_can_be_left_out(tmp_path: Path) -> None:
    mdata = simulate_mudata(60, 36, n_proteins=3, n_regulators=4)
    SCDual.setup_mudata(mdata, modalities={"rna_layer": "rna"})
    model = SCDual(mdata, regulators="regulator", **SMALL)
    model.save(tmp_path / "model", save_anndata=True)
    assert names(tmp_path / "model") == FILES | {"mdata.h5mu"}
    assert isinstance(SCDual.load(tmp_path / "model").adata, MuData)
    loaded = SCDual.load(tmp_path / "model", adata=False)
    assert loaded.gene_names == model.gene_names
    loaded.save(tmp_path / "again")
    found = SCDual.prepare_query_mudata(mdata.copy(), tmp_path / "again", inplace=False)
    assert list(found["rna"].var_names) == list(mdata["rna"].var_names)


def test_of_several_processes_the_first_writes(tiny: SCDual, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    tiny.save(tmp_path / "model")
    assert names(tmp_path) == set()


def test_a_copy_of_the_folder_is_the_same_model(tiny: SCDual, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    shutil.rmtree(folder)
    assert same_weights(SCDual.load(tmp_path / "copy"), tiny)


@pytest.mark.parametrize("load", ["load", "load_query_data"])
def test_hardware_that_is_not_there_is_named(
    tiny: SCDual, folder: Path, load: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    given = {"load": (folder,), "load_query_data": (tiny.adata.copy(), tiny)}[load]
    with pytest.raises(ValueError, match="`accelerator` is 'cuda', but this machine has only"):
        getattr(SCDual, load)(*given, accelerator="cuda")
