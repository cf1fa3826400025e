"""Networks of groups: two cell types whose regulators act differently are told apart."""

import anndata
import numpy as np
import pandas as pd
import pytest
import scvi
from anndata import AnnData

from scdual.datasets import simulate
from scdual.grn import RegulatoryNetwork, auprc_ratio
from scdual.model import SCDual

N_REGULATORS, N_TARGETS = 12, 80
REGULATORS = [f"R{i}" for i in range(N_REGULATORS)]
NAMES = [*REGULATORS, *(f"T{j}" for j in range(N_TARGETS))]


def networks(rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return two signed networks that differ in a third of their edges: another sign, or another regulator."""
    targets = np.repeat(NAMES[N_REGULATORS:], 2)
    sources = np.concatenate([rng.choice(REGULATORS, 3, replace=False) for _ in range(N_TARGETS)]).reshape(-1, 3)
    weight = rng.uniform(2, 5, len(targets)) * rng.choice([1, -1], len(targets), p=[0.65, 0.35])
    one = pd.DataFrame({"source": sources[:, :2].flatten(), "target": targets, "weight": weight})
    other = one.copy()
    changed = rng.permutation(len(one))[: len(one) // 3]
    flipped, moved = changed[::2], changed[1::2]
    other.loc[flipped, "weight"] *= -1
    moved = moved[np.unique(moved // 2, return_index=True)[1]]  # one edge of a target, at most
    other.loc[moved, "source"] = sources[moved // 2, 2]
    return one, other


def truth(network: pd.DataFrame) -> np.ndarray:
    """Return signs, shape ``(R, T)``."""
    table = network.assign(sign=np.sign(network["weight"])).pivot(index="source", columns="target", values="sign")
    return table.reindex(index=REGULATORS, columns=NAMES).fillna(0).to_numpy()


def table(network: RegulatoryNetwork) -> np.ndarray:
    frame = pd.DataFrame(network.weight, network.regulators, network.targets)
    return frame.loc[REGULATORS, NAMES].to_numpy()


@pytest.fixture(scope="module")
def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    return networks(np.random.default_rng(0))


@pytest.fixture(scope="module")
def model(tables: tuple[pd.DataFrame, pd.DataFrame]) -> SCDual:
    """Two types of 400 cells, which differ in their networks and in the production of the master regulators."""
    scvi.settings.seed = 0
    parts = []
    for place, network in enumerate(tables):
        both = simulate(800, len(NAMES), network=network, n_cell_types=2, library_size=3_000)
        parts.append(both[both.obs["cell_type"] == f"type_{place + 1}", NAMES])
    adata: AnnData = anndata.concat(dict(zip("ab", parts, strict=True)), label="kind", index_unique="-")
    adata.obs["small"] = np.where(np.arange(800) < 12, "few", "many")
    SCDual.setup_anndata(adata)
    model = SCDual(adata, regulators=REGULATORS, n_hidden=16)
    model.train(1, enable_progress_bar=False)
    return model


def test_edges_that_differ_stand_out(model: SCDual, tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    by_kind = model.get_regulation(groupby="kind")
    true = [truth(network) for network in tables]
    is_candidate = np.array(NAMES) != np.array(REGULATORS)[:, None]
    difference = np.abs(table(by_kind["b"]) - table(by_kind["a"]))
    assert auprc_ratio(difference[is_candidate], (true[0] != true[1])[is_candidate]) > 5
    whole = table(model.get_regulation())
    for network, sign in zip(by_kind.values(), true, strict=True):
        weight = table(network)
        assert (np.sign(weight) == sign)[sign != 0].mean() > 0.9
        found, before = (auprc_ratio(np.abs(w)[is_candidate], (sign != 0)[is_candidate]) for w in (weight, whole))
        assert found > before


def test_a_small_group_keeps_to_the_map_of_all_cells(model: SCDual) -> None:
    groups = model.get_regulation(groupby="small")
    assert [network.group for network in groups.values()] == ["few", "many"]
    whole = model.get_regulation().weight
    correlation = np.corrcoef(groups["few"].weight.flatten(), whole.flatten())[0, 1]
    assert correlation > 0.7


def test_groups_are_formed_among_the_chosen_cells(model: SCDual) -> None:
    is_a = (model.adata.obs["kind"] == "a").to_numpy()
    assert list(model.get_regulation(groupby="kind", indices=is_a)) == ["a"]


def test_order_of_cells_and_minibatches_do_not_matter(model: SCDual) -> None:
    expected = model.get_regulation(groupby="kind")
    other = model.get_regulation(model.adata[::-1].copy(), groupby="kind", batch_size=77)
    for name, network in expected.items():
        np.testing.assert_allclose(other[name].weight, network.weight, atol=1e-5)


def test_without_a_labelled_cell_there_are_no_groups(model: SCDual) -> None:
    model.adata.obs["unknown"] = pd.Categorical([None] * model.adata.n_obs, categories=["a"])
    for kind in ("regulation", "attention", "gate", "consensus"):
        with pytest.raises(ValueError, match="`groupby='unknown'` gives no group: no cell has a value"):
            model.get_regulation(groupby="unknown", kind=kind)


@pytest.mark.parametrize("kind", ["regulation", "consensus"])
def test_groups_that_covariates_explain_are_left_out(trained: SCDual, adata: AnnData, kind: str) -> None:
    adata.obs["kind"] = [*["two"] * 2, *["three"] * 3, *["many"] * (adata.n_obs - 5)]
    with pytest.warns(
        UserWarning, match=r"2 of 3 groups have no map .* no regulator varies in them.*\['three', 'two'\]"
    ):
        assert list(trained.get_regulation(adata, groupby="kind", kind=kind)) == ["many"]
