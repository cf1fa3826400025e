"""What SCDual expects of the private names of scvi-tools; a failure says which version changed what."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
import scvi
from scvi.model import SCVI
from scvi.train import Trainer, TrainRunner

import scdual
from scdual.model import _scvi

ROOT = Path(scdual.__file__).parent
VERSION = f"scvi-tools {scvi.__version__}"

FUNCTIONS = {
    "batch_codes": "adata_manager category",
    "compare_groups": "adata_manager model_fn representation_fn groupby group1 group2 idx1 idx2 all_stats all_stats_fn "
    "col_names mode batchid1 batchid2 delta batch_correction fdr silent subset_idx kwargs",
    "merge_kwargs": "config overrides name",
    "parse_device_args": "accelerator devices return_device validate_single_device",
    "raw_count_properties": "adata_manager idx1 idx2 var_idx",
    "read_pickled": "dir_path load_adata prefix map_location backup_url",
}
CLASSES = {"BaseModelMetaClass": "name bases dct", "ProgressBar": "refresh_rate"}
METHODS = {  # which SCDual calls or extends, on itself
    "_check_if_trained": "self warn message",
    "_create_modalities_attr_dict": "modalities setup_method_args",
    "_get_denoised_samples": "self adata indices n_samples batch_size rna_size_factor transform_batch dataloader "
    "data_loader_kwargs",
    "_get_init_params": "self locals",
    "_get_most_recent_anndata_manager": "adata required",
    "_get_setup_method_args": "setup_locals",
    "_make_data_loader": "self adata indices batch_size shuffle data_loader_class data_loader_kwargs",
    "_register_manager_for_instance": "self adata_manager",
    "_validate_anndata": "self adata copy_if_view",
}
KEYS = {
    "FIELD_REGISTRIES_KEY": "field_registries",
    "SETUP_ARGS_KEY": "setup_args",
    "SETUP_METHOD_KEY": "setup_method_name",
    "STATE_REGISTRY_KEY": "state_registry",
    "UUID_KEY": "_scvi_uuid",
}
TYPES = {"KwargsLike"}  # for annotations alone
OWN = {"checkpoints_read_by", "name_genes", "N_CHECKS"}


def private_imports(path: Path) -> Iterator[str]:
    """Yield the private names of scvi-tools that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.startswith("scvi.") and "._" in name)


@pytest.mark.parametrize(("name", "parameters"), (FUNCTIONS | CLASSES).items(), ids=FUNCTIONS | CLASSES)
def test_function_takes_what_scdual_passes(name: str, parameters: str) -> None:
    found = " ".join(inspect.signature(getattr(_scvi, name)).parameters)
    assert found == parameters, f"{VERSION} changed what `{name}` takes"


@pytest.mark.parametrize(("name", "parameters"), METHODS.items(), ids=METHODS)
def test_method_takes_what_scdual_passes(name: str, parameters: str) -> None:
    found = " ".join(inspect.signature(getattr(SCVI, name)).parameters)
    assert found == parameters, f"{VERSION} changed what `{name}` takes"


@pytest.mark.parametrize(("name", "value"), KEYS.items(), ids=KEYS)
def test_key_is_the_one_in_saved_registries(name: str, value: str) -> None:
    assert getattr(_scvi, name) == value, f"{VERSION} changed the key, so saved models cannot be read"


def test_parents_do_what_scdual_extends() -> None:
    for store in ("_setup_adata_manager_store", "_per_instance_manager_store"):
        assert isinstance(vars(SCVI)[store], dict), f"{VERSION} keeps managers in another way"
    assert isinstance(SCVI, _scvi.BaseModelMetaClass)
    assert " ".join(inspect.signature(_scvi.ProgressBar.init_train_tqdm).parameters) == "self trainer"
    assert TrainRunner._trainer_cls is Trainer, f"{VERSION} makes its trainer in another way"


def test_every_private_name_is_expected_here() -> None:
    assert set(_scvi.__all__) == {*FUNCTIONS, *CLASSES, *KEYS, *TYPES, *OWN}


def test_checkpoints_are_read_by_another_function_only_inside() -> None:
    before = scvi.train._callbacks._load_saved_files
    assert before is _scvi.read_pickled, f"{VERSION} reads checkpoints in another way"
    with _scvi.checkpoints_read_by(lambda original, folder: (original, folder)):
        assert scvi.train._callbacks._load_saved_files("folder") == (before, "folder")
    assert scvi.train._callbacks._load_saved_files is before


@pytest.mark.skipif(not hasattr(scvi.dataloaders, "AnnbatchDataModule"), reason="scvi-tools before 1.5 has none")
def test_an_annbatch_datamodule_takes_other_names_of_genes() -> None:
    source = inspect.getsource(scvi.dataloaders.AnnbatchDataModule.registry.fget)
    assert "self._var_names" in source, f"{VERSION} names genes in another way"


def test_no_other_file_imports_private_names() -> None:
    found = {path.relative_to(ROOT): list(private_imports(path)) for path in ROOT.rglob("*.py")}
    assert found.pop(Path("model/_scvi.py"))
    assert {path: names for path, names in found.items() if names} == {}


def test_early_stopping_counts_how_often_it_has_looked() -> None:
    found = vars(Trainer(early_stopping=True, accelerator="cpu", devices=1, logger=False).early_stopping_callback)
    assert found[_scvi.N_CHECKS] == 0, VERSION
