"""Data and models go when nobody uses them any more, and everything that scvi-tools promises about them still holds."""

import copy
import ctypes
import gc
import pickle
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from anndata import AnnData

from scdual.datasets import simulate
from scdual.model import SCDual

OPTIONS = {"enable_progress_bar": False}
MAX_GROWTH = 1.05  # of resident memory


def registered(*, as_mudata: bool = False) -> object:
    if as_mudata:
        data = simulate_mudata()
        SCDual.setup_mudata(data, modalities={"rna_layer": "rna"})
    else:
        data = simulate(60, 20, n_regulators=4)
        SCDual.setup_anndata(data)
    return data


def simulate_mudata() -> object:
    from mudata import MuData

    rna = simulate(60, 20, n_regulators=4)
    other = AnnData(np.ones((60, 2), dtype=np.float32))
    other.obs_names, other.var_names = rna.obs_names, ["P1", "P2"]
    return MuData({"rna": rna, "prot": other})


def trained(data: object) -> SCDual:
    regulators = [name for name in data.var_names if "REG" in name]
    model = SCDual(data, regulators=regulators)
    model.train(1, **OPTIONS)
    return model


def n_managers() -> int:
    return len(SCDual._setup_adata_manager_store) + len(SCDual._per_instance_manager_store)


@pytest.mark.parametrize("as_mudata", [False, True])
def test_a_trained_model_and_its_data_are_let_go(as_mudata: bool) -> None:
    gc.collect()
    n_before = n_managers()
    data = registered(as_mudata=as_mudata)
    model = trained(data)
    model.train_ensemble(2, **OPTIONS)
    model.annotate()
    model.get_latent_representation()
    ends = [weakref.ref(data), weakref.ref(model), weakref.ref(model.module), weakref.ref(model.adata_manager)]
    assert n_managers() > n_before
    del model, data
    gc.collect()
    assert [end() for end in ends] == [None] * 4
    assert n_managers() == n_before


def test_data_that_were_only_registered_are_let_go() -> None:
    data = registered()
    end = weakref.ref(data)
    del data
    gc.collect()
    assert end() is None


def test_a_model_keeps_its_data_and_data_outlive_their_model() -> None:
    data = registered()
    model = trained(data)
    del data
    gc.collect()
    assert model.get_latent_representation().shape[0] == 60
    data, end = model.adata, weakref.ref(model)
    del model
    gc.collect()
    assert end() is None
    assert trained(data).is_trained  # still registered


def test_data_that_a_model_has_only_seen_are_let_go_while_it_lives() -> None:
    model = trained(registered())
    other = model.adata[:30].copy()
    model.get_latent_representation(other)
    store = SCDual._per_instance_manager_store[model.id]
    assert len(store) == 2
    end = weakref.ref(other)
    del other
    gc.collect()
    assert end() is None
    assert list(store) == [model.adata_manager.adata_uuid]


def test_a_query_model_lets_its_reference_go() -> None:
    reference = trained(registered())
    query = reference.adata[:40].copy()
    model = SCDual.load_query_data(query, reference, unfrozen=True)
    model.train(1, **OPTIONS)
    ends = [weakref.ref(reference), weakref.ref(reference.adata)]
    del reference
    gc.collect()
    assert [end() for end in ends] == [None, None]
    assert model.get_latent_representation().shape[0] == 40
    ends = [weakref.ref(model), weakref.ref(query)]
    del model, query
    gc.collect()
    assert [end() for end in ends] == [None, None]


def test_a_loaded_model_is_let_go(tmp_path: Path) -> None:
    model = trained(registered())
    model.save(tmp_path / "model", save_anndata=True)
    loaded = SCDual.load(tmp_path / "model")
    ends = [weakref.ref(loaded), weakref.ref(loaded.adata)]
    loaded.get_latent_representation()
    del loaded
    gc.collect()
    assert [end() for end in ends] == [None, None]


def test_several_models_share_registered_data() -> None:
    data = registered()
    first, second = trained(data), trained(data)
    expected = second.get_latent_representation()
    assert first.adata_manager is second.adata_manager
    del first
    gc.collect()
    np.testing.assert_array_equal(second.get_latent_representation(data), expected)
    second.deregister_manager()
    np.testing.assert_array_equal(second.get_latent_representation(), expected)


def test_a_copy_has_to_be_registered_or_is_taken_over_by_a_model() -> None:
    data = registered()
    model = trained(data)
    copied = data.copy()
    with pytest.raises(ValueError, match="copy"):
        SCDual(copied, regulators=None)
    latent = model.get_latent_representation(copied)
    np.testing.assert_array_equal(latent, model.get_latent_representation())
    assert model.get_anndata_manager(copied).adata is copied


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda data: pickle.loads(pickle.dumps(data)), AnnData.copy])
def test_managers_are_no_part_of_a_copy(duplicate: object) -> None:
    data = registered()
    trained(data)
    found = duplicate(data)
    assert not getattr(found, "_scdual_managers", None)
    SCDual.setup_anndata(found)
    assert trained(found).is_trained
    assert b"scdual.model" not in pickle.dumps(data)


def test_a_subclass_has_a_store_of_its_own() -> None:
    class Special(SCDual):
        pass

    data = registered()
    with pytest.raises(ValueError, match="different model"):
        Special(data, regulators=None)
    Special.setup_anndata(data)
    assert Special(data, regulators=None).adata_manager is not SCDual(data, regulators=None).adata_manager


def resident_memory() -> int:
    """Return the resident memory of this process in bytes, without what was freed and is kept for later."""
    gc.collect()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):  # glibc
        libc.malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
def test_a_hundred_trainings_do_not_fill_the_memory() -> None:
    def once() -> None:
        data = simulate(400, 500, n_regulators=20)  # 0.8 MB of counts
        SCDual.setup_anndata(data)
        model = SCDual(data, regulators="regulator")
        model.train(1, **OPTIONS)
        model.get_latent_representation()

    torch.set_num_threads(1)
    for _ in range(10):
        once()
    before = resident_memory()
    for _ in range(90):
        once()
    assert resident_memory() < MAX_GROWTH * before
