"""Minibatches of a loader give what the same cells give as data."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scvi
import torch
from anndata import AnnData

from scdual.datasets import simulate
from scdual.model import SCDual
from scdual.model._minibatches import Minibatches


@pytest.fixture(scope="module")
def model() -> SCDual:
    """Do not change this model or its data: other tests of the file use them."""
    scvi.settings.seed = 0
    data = simulate(150, 20, n_regulators=5, n_batches=2)
    SCDual.setup_anndata(
        data, batch_key="batch", labels_key="cell_type", categorical_covariate_keys=["batch", "cell_type"]
    )
    model = SCDual(data, regulators="regulator", n_embed=8, n_hidden=8, n_latent=3)
    model.train(1)
    return model


def loader(model: SCDual, **kwargs: Any) -> Any:
    return model._make_data_loader(model.adata, **({"batch_size": 32} | kwargs))


def assert_equal(found: Any, expected: Any) -> None:
    assert found.keys() == expected.keys()
    for name, network in expected.items():
        np.testing.assert_allclose(found[name].weight, network.weight, rtol=1e-5, atol=1e-7)
        if network.evidence is not None:
            np.testing.assert_allclose(found[name].evidence.sd, network.evidence.sd, rtol=1e-5, atol=1e-7)
            np.testing.assert_array_equal(found[name].evidence.n_cells, network.evidence.n_cells)


@pytest.mark.parametrize("kind", ["regulation", "influence", "consensus", "gate"])
@pytest.mark.parametrize("groupby", ["cell_type", ["batch", "cell_type"], None])
def test_maps_of_minibatches_are_those_of_the_data(model: SCDual, kind: Any, groupby: Any) -> None:
    found = model.get_regulation(dataloader=loader(model), groupby=groupby, kind=kind)
    expected = model.get_regulation(groupby=groupby, kind=kind)
    if groupby is None:
        found, expected = {"": found}, {"": expected}
    assert_equal(found, expected)


def test_what_is_known_about_the_cells(model: SCDual) -> None:
    cells = Minibatches(loader(model), model.registry_)
    assert cells.n_obs == 150
    for name in ("batch", "cell_type"):
        assert cells.obs[name].tolist() == model.adata.obs[name].tolist()
    chosen = np.array([3, 140, 60])
    counts = torch.cat([tensors["X"] for tensors in cells.of(chosen)])
    np.testing.assert_array_equal(counts, model.adata.X[np.sort(chosen)].toarray())


def test_loaders_that_cannot_be_read_twice_alike_are_refused(model: SCDual) -> None:
    once = iter(loader(model))
    with pytest.raises(TypeError, match="can be read only once"):
        model.get_regulation(dataloader=once, groupby="batch")
    with pytest.raises(ValueError, match="in another order each time"):
        model.get_regulation(dataloader=loader(model, shuffle=True), groupby="batch")
    with pytest.raises(ValueError, match="Only one of `adata` or `dataloader`"):
        model.get_regulation(model.adata, dataloader=loader(model))
    with pytest.raises(KeyError, match="'donor' is not a column|'donor'"):
        model.get_regulation(dataloader=loader(model), groupby="donor")


@pytest.mark.parametrize("from_data", [True, False])
def test_the_embedding_is_written_as_it_streams(model: SCDual, tmp_path: Path, from_data: bool) -> None:
    expected = model.get_latent_representation()
    given = {"batch_size": 40} if from_data else {"dataloader": loader(model)}
    found = model.get_latent_representation(**given, out=tmp_path / "latent.npy")
    assert isinstance(found.base, np.memmap)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.dtype == expected.dtype
    some = model.get_latent_representation(indices=[5, 2], out=tmp_path / "some.npy")
    np.testing.assert_allclose(some, expected[[5, 2]], atol=1e-6)
    data = AnnData(obs=model.adata.obs)
    data.obsm["X_scdual"] = found
    data.write_h5ad(tmp_path / "cells.h5ad")


def test_an_untrained_model_writes_nothing(model: SCDual, tmp_path: Path) -> None:
    fresh = SCDual(model.adata, regulators="regulator", n_embed=8, n_hidden=8)
    with pytest.raises(RuntimeError):
        fresh.get_latent_representation(out=tmp_path / "latent.npy")

    def failing() -> Iterator[dict[str, torch.Tensor]]:
        yield from list(loader(model))[:1]
        yield {"X": torch.ones(2, 3), "batch": torch.zeros(2, 1)}

    with pytest.raises(ValueError, match="A minibatch has 3 genes, but the model 20"):
        model.get_latent_representation(dataloader=failing(), out=tmp_path / "latent.npy")
    assert not list(tmp_path.iterdir())
