"""Targets that are left out of a map, such as ribosomal genes."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy.stats import false_discovery_control, norm

from scdual.datasets import simulate
from scdual.model import SCDual

EXCLUDED = [f"GENE{number:03d}" for number in range(10, 20)]


@pytest.fixture(scope="module")
def model() -> SCDual:
    data: AnnData = simulate(150, 36, n_regulators=6, n_batches=2)
    data.var["is_out"] = data.var_names.isin(EXCLUDED)
    data.var["symbol"] = [f"SYM{number}" for number in range(data.n_vars)]
    SCDual.setup_anndata(data)
    model = SCDual(data, regulators="regulator")
    model.train(1)
    return model


def excluded(model: SCDual) -> list[str]:
    return model.adata.var_names[model.adata.var["is_out"]].tolist()


@pytest.mark.parametrize("kind", ["regulation", "influence", "attention", "gate", "consensus"])
@pytest.mark.parametrize("by_column", [True, False])
def test_the_other_targets_keep_their_weights(model: SCDual, kind: str, by_column: bool) -> None:
    whole = model.get_regulation(kind=kind)
    part = model.get_regulation(kind=kind, exclude_targets="is_out" if by_column else excluded(model))
    left = [gene for gene in model.gene_names if gene not in excluded(model)]
    assert 0 < len(excluded(model)) < len(model.gene_names)
    assert list(part.targets) == left
    assert list(part.regulators) == list(whole.regulators)
    np.testing.assert_array_equal(part.weight, whole.subset(targets=left).weight)


def test_q_values_count_the_targets_that_are_left(model: SCDual) -> None:
    whole = model.get_regulation()
    part = model.get_regulation(exclude_targets="is_out")
    is_left = ~model.adata.var["is_out"].to_numpy()
    z = model.module.map.known.z.numpy().T[:, is_left].astype(float)
    p_value = 2 * norm.sf(np.abs(z))
    expected = np.ones(z.shape)
    expected[z != 0] = false_discovery_control(p_value[z != 0])
    expected[part.weight == 0] = 1
    assert part.evidence is not None
    assert whole.evidence is not None
    np.testing.assert_allclose(part.evidence.q_value, expected)
    assert not np.allclose(part.evidence.q_value, whole.evidence.q_value[:, is_left])
    np.testing.assert_array_equal(part.evidence.support, whole.evidence.support[:, is_left])


def test_groups_and_ensembles_leave_them_out(model: SCDual) -> None:
    by_type = model.get_regulation(groupby="cell_type", exclude_targets="is_out")
    whole = model.get_regulation(groupby="cell_type")
    for name, network in by_type.items():
        assert not network.targets.isin(excluded(model)).any()
        np.testing.assert_array_equal(network.weight, whole[name].subset(targets=network.targets).weight)


def test_symbols_of_the_data_come_with_the_network(model: SCDual) -> None:
    network = model.get_regulation(exclude_targets="is_out")
    frame = network.to_frame(gene_symbols="symbol")
    symbol = model.adata.var["symbol"]
    pd.testing.assert_series_equal(frame["target_symbol"], frame["target"].map(symbol), check_names=False)
    by_type = model.get_regulation(groupby="cell_type")
    assert next(iter(by_type.values())).with_symbols("symbol").targets.tolist() == symbol.tolist()


def test_some_targets_must_be_left(model: SCDual) -> None:
    with pytest.raises(ValueError, match="`exclude_targets` names all 36 genes"):
        model.get_regulation(exclude_targets=model.gene_names)
