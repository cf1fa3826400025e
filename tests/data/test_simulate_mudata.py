import warnings
from contextlib import nullcontext
from pathlib import Path

import mudata
import numpy as np
import pandas as pd
import pytest
from mudata import MuData

from scdual.datasets import simulate, simulate_mudata


@pytest.fixture(scope="module")
def mdata() -> MuData:
    return simulate_mudata(400, 60, n_regulators=10, n_proteins=20, n_batches=2, seed=2)


def test_mudata_pairs_the_cells_of_both_modalities(mdata: MuData) -> None:
    assert list(mdata.mod) == ["rna", "prot"]
    assert mdata.shape == (400, 80)
    for modality in mdata.mod:
        assert mdata.obsm[modality].all()
        assert list(mdata[modality].obs_names) == list(mdata.obs_names)
    assert list(mdata.obs.columns) == ["cell_type", "batch"]
    pd.testing.assert_frame_equal(mdata.obs, mdata["rna"].obs)
    assert mdata.var_names.is_unique


def test_mudata_holds_the_same_rna_as_simulate(mdata: MuData) -> None:
    rna = simulate(400, 60, n_regulators=10, n_batches=2, seed=2)
    np.testing.assert_array_equal(mdata["rna"].X.toarray(), rna.X.toarray())
    assert (mdata["rna"].varp["true_regulation"] != rna.varp["true_regulation"]).nnz == 0
    assert list(mdata["rna"].var_names) == list(rna.var_names)
    again = simulate_mudata(400, 60, n_regulators=10, n_proteins=20, n_batches=2, seed=2)
    np.testing.assert_array_equal(mdata["prot"].X.toarray(), again["prot"].X.toarray())


def test_protein_counts_follow_their_genes(mdata: MuData) -> None:
    protein = mdata["prot"]
    assert protein.shape == (400, 20)
    assert protein.X.dtype == np.float32
    np.testing.assert_array_equal(protein.X.data, np.rint(protein.X.data))
    expression = mdata["rna"][:, protein.var["gene"]].layers["true_expression"]
    counts = protein.X.toarray()
    own = [np.corrcoef(expression[:, i], counts[:, i])[0, 1] for i in range(20)]
    assert np.median(own) > 0.4
    assert min(own) > 0


@pytest.mark.skipif(not hasattr(mudata, "set_options"), reason="mudata 0.4 has no options")
def test_mudata_is_made_without_warning_and_its_options_stay() -> None:
    with mudata.set_options(display_style="text") as options, warnings.catch_warnings():
        before = dict(options)
        warnings.simplefilter("error")
        simulate_mudata(20, 10, n_regulators=3, n_proteins=4)
        assert options == before


def test_mudata_survives_h5mu(mdata: MuData, tmp_path: Path) -> None:
    with mudata.set_options(pull_on_update=False) if hasattr(mudata, "set_options") else nullcontext():
        mdata.write(tmp_path / "simulated.h5mu")
        back = mudata.read(tmp_path / "simulated.h5mu")
    pd.testing.assert_frame_equal(back.obs, mdata.obs)
    np.testing.assert_array_equal(back["prot"].X.toarray(), mdata["prot"].X.toarray())


def test_too_many_proteins_are_refused() -> None:
    with pytest.raises(ValueError, match="`n_proteins` is 50, expected a whole number from 1 to 40"):
        simulate_mudata(20, 40, n_regulators=5, n_proteins=50)
