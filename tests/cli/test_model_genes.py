"""Cells are cut down to the genes of a saved model, and what is cut stays in ``raw``."""

from pathlib import Path

import numpy as np
import pytest
from anndata import AnnData

from scdual.cli._model_genes import with_genes_of_model
from scdual.datasets import simulate
from scdual.model import SCDual


def saved(adata: AnnData, folder: Path) -> Path:
    """Return the folder of a model of these cells."""
    cells = adata.copy()
    SCDual.setup_anndata(cells)
    model = SCDual(cells, regulators="regulator")
    model.train_map()
    model.save(str(folder))
    return folder


def test_genes_that_the_model_does_not_know_stay_in_raw(tmp_path: Path) -> None:
    adata = simulate(60, 20, n_regulators=4)
    folder = saved(adata[:, adata.var_names[5:]].copy(), tmp_path / "model")
    cut = with_genes_of_model(adata, folder)
    assert list(cut.var_names) == list(adata.var_names[5:])
    assert list(cut.raw.var_names) == list(adata.var_names)
    np.testing.assert_array_equal(cut.X.toarray(), adata.X[:, 5:].toarray())
    assert SCDual.load(str(folder), adata=cut).gene_names == list(cut.var_names)


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
def test_other_cells_are_as_they_were(tmp_path: Path) -> None:
    adata = simulate(60, 20, n_regulators=4)
    folder = saved(adata, tmp_path / "model")
    assert with_genes_of_model(adata, folder) is adata
    missing = adata[:, 1:].copy()
    assert with_genes_of_model(missing, folder) is missing
    twice = adata[:, [0, *range(20)]].copy()
    assert with_genes_of_model(twice, folder) is twice
    assert adata.raw is None
