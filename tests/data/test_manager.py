"""Cells are paired by name, read in the order asked for, and known again."""

from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pytest
from anndata import AnnData
from mudata import MuData
from scipy.sparse import csc_matrix, csr_matrix

from scdual.data._categories import MuDataCategoryField
from scdual.data._fields import GeneLayerField, MuDataGeneLayerField, MuDataPositiveObsField, MuDataScaledJointObsField
from scdual.data._manager import CellManager

N = 30


def rna(names: list[str]) -> AnnData:
    """Return cells whose every value tells their number."""
    number = np.array([int(name[1:]) for name in names], dtype=np.float32)
    adata = AnnData(csr_matrix(number[:, None] + np.ones((1, 3), np.float32)))
    adata.obs_names, adata.var_names = names, ["A", "B", "C"]
    adata.obs["number"], adata.obs["own"] = number + 1, [f"b{int(n) % 3}" for n in number]
    return adata


@pytest.fixture(params=["rna first", "rna last"])
def mdata(request: pytest.FixtureRequest) -> MuData:
    rng = np.random.default_rng(0)
    names = [f"c{i}" for i in range(N)]
    other = AnnData(np.ones((N, 2), np.float32))
    other.obs_names, other.var_names = rng.permutation(names), ["P", "Q"]
    parts = {"rna": rna(list(rng.permutation(names))), "prot": other}
    order = ["rna", "prot"] if request.param == "rna first" else ["prot", "rna"]
    mdata = MuData({name: parts[name] for name in order})
    mdata.obs["batch"] = [f"b{int(name[1:]) % 2}" for name in mdata.obs_names]
    return mdata


def registered(mdata: MuData) -> CellManager:
    manager = CellManager(
        fields=[
            MuDataGeneLayerField("X", None, mod_key="rna", mod_required=True),
            MuDataCategoryField("batch", "batch", mod_key=None),
            MuDataCategoryField("labels", "own", mod_key="rna"),
            MuDataPositiveObsField("size_factor", "number", mod_key="rna"),
            MuDataScaledJointObsField("extra_continuous_covs", ["number"], mod_key="rna"),
        ]
    )
    manager.register_fields(mdata)
    return manager


def numbers(mdata: MuData) -> np.ndarray:
    return np.array([int(name[1:]) for name in mdata.obs_names])


def check_paired(manager: CellManager, mdata: MuData) -> None:
    expected = numbers(mdata)
    np.testing.assert_array_equal(manager.get_from_registry("X").toarray()[:, 0], expected + 1)
    np.testing.assert_array_equal(manager.get_from_registry("batch").ravel(), expected % 2)
    np.testing.assert_array_equal(manager.get_from_registry("labels").ravel(), expected % 3)
    np.testing.assert_array_equal(manager.get_from_registry("size_factor").ravel(), expected + 1)
    scaled = manager.get_from_registry("extra_continuous_covs")["number"]
    np.testing.assert_array_equal(np.argsort(scaled), np.argsort(expected))
    batch = manager.create_torch_dataset()[[5, 2, 8]]
    np.testing.assert_array_equal(batch["X"][:, 0], expected[[5, 2, 8]] + 1)
    np.testing.assert_array_equal(batch["batch"].ravel(), expected[[5, 2, 8]] % 2)


@pytest.mark.filterwarnings("ignore:From 0.4:FutureWarning")
def test_whatever_is_read_stands_in_the_order_of_the_whole(mdata: MuData) -> None:
    check_paired(registered(mdata), mdata)


@pytest.mark.parametrize("layout", [csc_matrix, lambda x: x.toarray()], ids=["csc", "dense"])
@pytest.mark.filterwarnings("ignore:From 0.4:FutureWarning", "ignore:Training will be faster")
def test_the_layout_of_the_counts_does_not_matter(mdata: MuData, layout: Callable) -> None:
    mdata["rna"].X = layout(mdata["rna"].X)
    expected = numbers(mdata) + 1
    found = registered(mdata).create_torch_dataset()[list(range(N))]["X"]
    np.testing.assert_array_equal(found[:, 0], expected)


@pytest.mark.filterwarnings("ignore:From 0.4:FutureWarning")
def test_new_data_are_paired_as_well(mdata: MuData) -> None:
    manager = registered(mdata)
    new = MuData(
        {"rna": rna([f"c{i}" for i in range(9)][::-1]), "prot": mdata["prot"][[f"c{i}" for i in range(9)]].copy()}
    )
    new.obs["batch"] = [f"b{int(name[1:]) % 2}" for name in new.obs_names]
    check_paired(manager.transfer_fields(new), new)


@pytest.mark.filterwarnings("ignore:From 0.4:FutureWarning")
def test_a_modality_with_other_cells_is_an_error(mdata: MuData) -> None:
    manager = registered(mdata)
    mdata["rna"].obs_names = [f"other_{name}" for name in mdata["rna"].obs_names]
    with pytest.raises(ValueError, match=r"'rna' has 30 cells and the MuData 30, of which 0 are the same by name"):
        manager.get_from_registry("X")


@pytest.mark.filterwarnings("ignore:From 0.4:FutureWarning")
def test_what_changed_in_a_modality_is_said(mdata: MuData) -> None:
    manager = registered(mdata)
    assert manager.changes() is None
    mdata["rna"].obs["own"] = "b0"
    assert manager.changes() == "column 'own' of `mod['rna'].obs` changed in 20 of 30 cells"
    mdata["rna"].X = mdata["rna"].X * 2
    assert manager.changes() == "the counts changed in 30 of 30 cells"


@pytest.mark.filterwarnings("ignore:Sparse", "ignore:Sparse CSR tensor support")  # of torch
@pytest.mark.parametrize("layout", ["sparse", "dense"])
def test_cells_on_disk_come_in_the_order_asked_for_however_often(tmp_path: Path, layout: str) -> None:
    adata = rna([f"c{i}" for i in range(N)])
    adata.X = adata.X if layout == "sparse" else adata.X.toarray()
    adata.write_h5ad(tmp_path / "cells.h5ad")
    backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r+")
    manager = CellManager(fields=[GeneLayerField("X", None)])
    manager.register_fields(backed)
    cells = [7, 3, 3, 29, 0]
    for load_sparse in (False, True) if layout == "sparse" else (False,):
        dataset = manager.create_torch_dataset(load_sparse_tensor=load_sparse)
        np.testing.assert_array_equal(np.asarray(dataset[cells]["X"])[:, 0], np.array(cells) + 1)
    subset = manager.create_torch_dataset(indices=np.arange(N)[::-1])
    np.testing.assert_array_equal(subset[[0, 1]]["X"][:, 0], [N, N - 1])
    backed.file.close()


def test_data_read_into_memory_are_still_the_same(tmp_path: Path) -> None:
    rna([f"c{i}" for i in range(N)]).write_h5ad(tmp_path / "cells.h5ad")
    backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r+")
    manager = CellManager(fields=[GeneLayerField("X", None)])
    manager.register_fields(backed)
    backed.filename = None
    assert not backed.isbacked
    assert manager.changes() is None
    backed.X = backed.X * 2
    assert manager.changes() == "the counts changed in 30 of 30 cells"


def test_a_failed_registration_forgets_nothing(unchanged: Callable) -> None:
    adata = rna([f"c{i}" for i in range(N)])
    adata.X = np.asfortranarray(adata.X.toarray())
    CellManager(fields=[GeneLayerField("X", None)]).register_fields(adata.copy())
    field = MuDataCategoryField("batch", "nope").adata_field
    manager = CellManager(fields=[GeneLayerField("X", None), field])
    with unchanged(adata), pytest.raises(KeyError, match="nope"):
        manager.register_fields(adata)
    assert adata.X.flags.f_contiguous
    assert list(adata.obs) == ["number", "own"]
