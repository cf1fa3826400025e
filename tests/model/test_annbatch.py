"""Cells in files, read by annbatch, give the model that the same cells give in memory."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import scvi
from anndata import AnnData
from scipy.sparse import csr_matrix
from scvi.model.base import BaseModelClass

from scdual.datasets import simulate
from scdual.model import SCDual

HAS_ENGINE = hasattr(BaseModelClass, "setup_annbatch")
SIZES = {"n_embed": 8, "n_hidden": 8, "n_latent": 3, "n_layers": 1}
LOADER = {"batch_size": 32, "chunk_size": 8, "preload_nchunks": 8}
REGULATORS = ["REG01", "REG02", "REG03", "REG04"]


@pytest.mark.skipif(HAS_ENGINE, reason="scvi-tools has it")
def test_older_scvi_tools_say_what_to_do() -> None:
    with pytest.raises(
        NotImplementedError, match=r"scvi-tools 1.4.* needs scvi-tools 1.5 .* `anndata.experimental.concat_on_disk`"
    ):
        SCDual.setup_annbatch("cells.zarr", ["cells.h5ad"], batch_key="batch")


if HAS_ENGINE:
    pytest.importorskip("annbatch")
    pytest.importorskip("zarrs")

with_engine = pytest.mark.skipif(not HAS_ENGINE, reason="scvi-tools before 1.5 reads no collections")

Write = Callable[..., list[Path]]


@pytest.fixture
def cells() -> AnnData:
    adata = simulate(130, 20, n_regulators=4, n_batches=2)
    return AnnData(csr_matrix(adata.X, dtype=np.float32), adata.obs, adata.var)  # to join dense matrices needs dask


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(*parts: AnnData) -> list[Path]:
        paths = [tmp_path / f"part_{i}.h5ad" for i in range(len(parts))]
        for path, part in zip(paths, parts, strict=True):
            part.write_h5ad(path)
        return paths

    return write


def setup(paths: list[Path] | None, **kwargs: Any) -> Any:
    place = kwargs.pop("place", None) or paths[0].parent / "cells.zarr"
    return SCDual.setup_annbatch(place, paths, **(LOADER | {"batch_key": "batch"} | kwargs))


def thirds(cells: AnnData) -> list[AnnData]:
    return [cells[start : start + 50].copy() for start in (0, 50, 100)]


def read(datamodule: Any) -> np.ndarray:
    return np.concatenate([tensors["X"].numpy() for tensors in datamodule.inference_dataloader()])


@with_engine
@pytest.mark.parametrize("kind", ["csr", "dense", "integers", "doubles", "another order of genes", "an empty file"])
def test_whatever_the_files_hold_each_gene_has_its_name(cells: AnnData, write: Write, kind: str) -> None:
    first, second, third = thirds(cells)
    if kind == "dense":
        for part in (first, second, third):
            part.X = part.X.toarray()
    elif kind in ("integers", "doubles"):
        second.X = second.X.astype(np.int32 if kind == "integers" else np.float64)
    elif kind == "another order of genes":
        second = second[:, ::-1].copy()
    parts = [first, second, third] + ([first[:0].copy()] if kind == "an empty file" else [])
    datamodule = setup(write(*parts))
    model = SCDual(registry=datamodule.registry, regulators=REGULATORS)
    np.testing.assert_array_equal(read(datamodule), cells[:, model.gene_names].X.toarray())
    assert sorted(model.gene_names) == sorted(cells.var_names)


@with_engine
def test_a_model_from_files_is_that_from_memory(cells: AnnData, write: Write, tmp_path: Path) -> None:
    datamodule = setup(write(*thirds(cells)), labels_key="cell_type")
    SCDual.setup_anndata(cells, batch_key="batch", labels_key="cell_type", unlabeled_category="Unknown")
    models = []
    for source, given in (({"adata": cells}, {}), ({"registry": datamodule.registry}, {"datamodule": datamodule})):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("warnings.warn", lambda *args, **kwargs: None)  # no cell has the label "Unknown"
            scvi.settings.seed = 0
            model = SCDual(**source, regulators=REGULATORS, **SIZES)
        model.train(1, batch_size=32, plan_kwargs={"lr": 0.0}, **given)
        models.append(model)
    of_memory, of_files = (model.get_regulation() for model in models)
    np.testing.assert_allclose(of_files.weight, of_memory.weight, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(of_files.evidence.sd, of_memory.evidence.sd, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(of_files.evidence.n_cells, of_memory.evidence.n_cells)
    assert models[1].module.n_classes == 5

    loader = datamodule.inference_dataloader()
    latent = models[1].get_latent_representation(dataloader=loader)
    np.testing.assert_allclose(models[1].get_latent_representation(cells), latent, atol=1e-5)
    assert models[1].predict(dataloader=loader).shape == (130,)
    models[1].save(tmp_path / "model")
    for given in ({"adata": False}, {"datamodule": datamodule}, {"adata": cells}):
        loaded = SCDual.load(tmp_path / "model", **given)
        assert np.array_equal(loaded.get_latent_representation(dataloader=loader), latent)
        assert np.array_equal(loaded.get_regulation().weight, of_files.weight)
    loaded = SCDual.load(tmp_path / "model", datamodule=datamodule)
    loaded.train(1, datamodule=datamodule)
    assert len(loaded.history["train_loss"]) == 2


@with_engine
def test_a_collection_is_opened_again(cells: AnnData, write: Write) -> None:
    paths = write(*thirds(cells))
    first = setup(paths, labels_key="cell_type")
    again = setup(None, place=paths[0].parent / "cells.zarr", labels_key="cell_type")
    np.testing.assert_array_equal(read(again), read(first))
    assert again.registry["field_registries"]["X"]["state_registry"]["column_names"] == list(cells.var_names)
    with pytest.raises(KeyError, match="'donor' is not a column of `obs`"):
        setup(None, place=paths[0].parent / "cells.zarr", batch_key="donor")


@with_engine
def test_covariates_travel_with_the_cells(cells: AnnData, write: Write) -> None:
    datamodule = setup(write(*thirds(cells)), batch_key=None, categorical_covariate_keys=["cell_type", "batch"])
    model = SCDual(registry=datamodule.registry, regulators=REGULATORS, **SIZES)
    assert (model.module.n_batch, model.module.n_cats_per_cov) == (1, [5, 2])
    model.train(1, datamodule=datamodule)
    latent = model.get_latent_representation(dataloader=datamodule.inference_dataloader())
    np.testing.assert_allclose(model.get_latent_representation(cells), latent, atol=1e-5)


def broken(cells: AnnData, kind: str) -> list[AnnData]:
    first, second, third = thirds(cells)
    if kind == "genes missing":
        second = second[:, 3:].copy()
    elif kind == "genes more":
        first = first[:, 3:].copy()
    elif kind == "column missing":
        del second.obs["batch"]
    elif kind == "column with gaps":
        second.obs["batch"] = second.obs["batch"].astype(object).where(np.arange(50) > 3)
    elif kind == "fractions":
        second.X = second.X * 0.3
    elif kind == "csc":
        second.X = second.X.tocsc()
    elif kind == "dense and sparse":
        third.X = third.X.toarray()
    elif kind == "repeated genes":
        second.var_names = [second.var_names[1], *second.var_names[1:]]
    elif kind == "no cells":
        first = second = third = first[:0].copy()
    return [first, second, third]


@with_engine
@pytest.mark.parametrize(
    ("kind", "error", "said"),
    [
        ("genes missing", ValueError, r"part_1.h5ad lacks 3 genes that are in the others, e.g. .* as `var_subset`"),
        ("genes more", ValueError, r"part_1.h5ad has 3 genes that the first lacks, e.g. .* as `var_subset`"),
        ("column missing", KeyError, r"part_1.h5ad: 'batch' is not a column of `obs`, which has \['cell_type'\]"),
        ("column with gaps", ValueError, r"part_1.h5ad: Column 'batch' of `obs` has no value for 4 of 50 cells"),
        ("fractions", ValueError, r"part_1.h5ad: /X holds .* no integers"),
        ("csc", ValueError, r"holds the counts as csr_matrix, and|part_1.h5ad holds the counts as csc_matrix"),
        ("dense and sparse", ValueError, r"csr_matrix; write it anew after"),
        ("repeated genes", ValueError, r"part_1.h5ad: 1 gene names occur more than once"),
        ("no cells", ValueError, r"The files hold no cells"),
    ],
)
def test_files_that_do_not_go_together_are_refused_before_anything_is_written(
    cells: AnnData, write: Write, kind: str, error: type[Exception], said: str
) -> None:
    paths = write(*broken(cells, kind))
    with pytest.raises(error, match=said):
        setup(paths)
    assert not (paths[0].parent / "cells.zarr").exists()


@with_engine
def test_wrong_arguments(cells: AnnData, write: Write, tmp_path: Path) -> None:
    paths = write(*thirds(cells))
    for given, error, said in (
        ({"layer": "counts"}, KeyError, r"part_0.h5ad: there is no 'layers/counts'"),
        ({"batch_size": 0}, ValueError, "`batch_size` is 0"),
        ({"batch_size": 48}, ValueError, "48"),
        ({"lables_key": "cell_type"}, TypeError, "no argument `lables_key`. Did you mean 'labels_key'"),
        ({"use_class_sampler": True}, NotImplementedError, "each cell once"),
        ({"var_subset": ["REG01", "no gene"]}, ValueError, r"lacks 1 genes of `var_subset`, e.g. \['no gene'\]"),
    ):
        with pytest.raises(error, match=said):
            setup(paths, **given)
    with pytest.raises(FileNotFoundError, match="There is no file .*missing.h5ad"):
        setup([tmp_path / "missing.h5ad"])
    with pytest.raises(FileNotFoundError, match="holds no annbatch collection; pass the `paths`"):
        setup(None, place=tmp_path / "nothing.zarr")
    (tmp_path / "text.h5ad").write_text("no HDF5")
    with pytest.raises(ValueError, match="text.h5ad is no h5ad file"):
        setup([tmp_path / "text.h5ad"])
    with pytest.raises(FileExistsError, match="is no annbatch collection, so it is not written over"):
        setup(paths, place=tmp_path)
    assert len(list(tmp_path.glob("*.h5ad"))) == 4
    with pytest.raises(ValueError, match=r"`adatas\[1\]` has other genes than `adatas\[0\]`, or another order"):
        SCDual.setup_annbatch(adatas=[cells, cells[:, ::-1].copy()])


@with_engine
def test_some_genes_of_files_with_others(cells: AnnData, write: Write) -> None:
    first, second, third = broken(cells, "genes missing")
    common = [name for name in first.var_names if name in second.var_names][::-1]
    datamodule = setup(write(first, second, third), var_subset=common)
    names = SCDual(registry=datamodule.registry, regulators=None, **SIZES).gene_names
    assert sorted(names) == sorted(common)
    np.testing.assert_array_equal(read(datamodule), cells[:, names].X.toarray())


@with_engine
def test_an_unlabeled_category_before_other_labels_counts_as_a_label(cells: AnnData, write: Write) -> None:
    cells.obs["cell_type"] = np.where(np.arange(130) % 3 == 0, "Unknown", "alpha")
    datamodule = setup(write(cells), labels_key="cell_type")
    with pytest.warns(UserWarning, match="puts 'Unknown' before other labels, so it counts as a label of its own"):
        model = SCDual(registry=datamodule.registry, regulators=REGULATORS, **SIZES)
    assert model.module.n_classes == 2
    model.train(1, datamodule=datamodule)
    assert set(model.predict(dataloader=datamodule.inference_dataloader())) <= {"Unknown", "alpha"}


def test_concatenation_on_disk_and_backed_cells_serve_every_version(
    cells: AnnData, write: Write, tmp_path: Path
) -> None:
    paths = write(*thirds(cells))
    anndata.experimental.concat_on_disk(paths, tmp_path / "all.h5ad", label="file")
    backed = anndata.read_h5ad(tmp_path / "all.h5ad", backed="r")
    results = []
    for data in (cells, backed):
        SCDual.setup_anndata(data, batch_key="batch")
        scvi.settings.seed = 0
        model = SCDual(data, regulators=REGULATORS, **SIZES)
        model.train(1)
        results.append((model.get_regulation().weight, model.get_latent_representation()))
    backed.file.close()
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
