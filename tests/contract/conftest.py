"""A tiny data set and a model trained on it, shared by the tests of one file."""

import pytest
import scvi
from anndata import AnnData

from scdual.datasets import simulate
from scdual.model import SCDual


@pytest.fixture
def adata() -> AnnData:
    return simulate(150, 36, n_regulators=6, n_batches=2)


@pytest.fixture
def model(adata: AnnData) -> SCDual:
    """An untrained model of ``adata``."""
    SCDual.setup_anndata(adata, batch_key="batch")
    return SCDual(adata, regulators="regulator")


@pytest.fixture(scope="module")
def trained() -> SCDual:
    """Do not change this model or its data: other tests of the file use them."""
    scvi.settings.seed = 0
    data = simulate(150, 36, n_regulators=6, n_batches=2)
    SCDual.setup_anndata(data, batch_key="batch", labels_key="cell_type")
    model = SCDual(data, regulators="regulator")
    model.train(max_epochs=2)
    return model
