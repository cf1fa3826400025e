"""Data on disk give what the same data give in memory."""

from collections.abc import Iterator
from pathlib import Path

import anndata
import numpy as np
import pytest
import scvi
from anndata import AnnData
from scipy.sparse import csr_matrix

from scdual.datasets import simulate
from scdual.model import SCDual


def make() -> AnnData:
    return simulate(60, 15, n_regulators=4, n_batches=2)


@pytest.fixture(scope="module")
def model() -> SCDual:
    """Do not change this model or its data: other tests of the file use them."""
    scvi.settings.seed = 0
    data = make()
    SCDual.setup_anndata(data, batch_key="batch")
    model = SCDual(data, regulators="regulator", n_embed=8, n_hidden=8, n_latent=3)
    model.train(2)
    return model


@pytest.fixture(params=["sparse", "dense"])
def backed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AnnData]:
    data = make()
    data.X = csr_matrix(data.X) if request.param == "sparse" else data.X.toarray()
    data.write_h5ad(tmp_path / "cells.h5ad")
    backed = anndata.read_h5ad(tmp_path / "cells.h5ad", backed="r+")
    yield backed
    backed.file.close()


def test_groups_ensembles_and_comparisons_work_on_disk(model: SCDual, backed: AnnData) -> None:
    expected, found = (model.get_regulation(data, groupby="cell_type") for data in (None, backed))
    for name, network in expected.items():
        np.testing.assert_allclose(found[name].weight, network.weight, atol=1e-4)
    model.annotate(backed, groupby="cell_type")
    np.testing.assert_allclose(backed.obsm["X_scdual"], model.get_latent_representation(), atol=1e-5)
    tables = []
    for data in (None, backed):
        scvi.settings.seed = 1
        tables.append(model.differential_expression(data, groupby="cell_type", group1="type_1", silent=True))
    for column in ("raw_mean1", "non_zeros_proportion2", "raw_normalized_mean1"):
        np.testing.assert_allclose(tables[1][column], tables[0].loc[tables[1].index, column], rtol=1e-5)


def test_an_ensemble_is_trained_from_disk(backed: AnnData) -> None:
    SCDual.setup_anndata(backed, batch_key="batch")
    model = SCDual(backed, regulators="regulator", n_embed=8, n_hidden=8, n_latent=3)
    model.train(1)
    model.train_ensemble(2)
    assert model.get_regulation().evidence is not None
