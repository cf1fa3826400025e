"""Tools change nothing they are given, whether they succeed or fail."""

import hashlib
import pickle
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scdual.grn import RegulatoryNetwork, from_frame, score_network
from scdual.tl import compare_networks, rank_regulators, reference_overlap, regulator_activity, regulons

GENES = ["A", "v", "w", "x", "y", "D"]


def digest(*things: object) -> str:
    """Return a hash of everything a user could see of some objects."""
    return hashlib.sha256(b"".join(pickle.dumps(seen(thing)) for thing in things)).hexdigest()


def seen(thing: object) -> object:
    if isinstance(thing, pd.DataFrame):
        return thing.to_dict("list"), list(thing.index), [str(dtype) for dtype in thing.dtypes]
    if isinstance(thing, RegulatoryNetwork):
        return thing.weight.tobytes(), list(thing.regulators), list(thing.targets), thing.group
    if isinstance(thing, AnnData):
        return np.asarray(thing.X).tobytes(), list(thing.var_names), list(thing.obs), list(thing.uns), list(thing.obsm)
    return thing


@pytest.fixture
def adata() -> AnnData:
    counts = np.random.default_rng(0).poisson(2.0, (8, len(GENES))).astype(np.float32)
    return AnnData(counts, var=pd.DataFrame(index=GENES))


@pytest.fixture
def reference() -> pd.DataFrame:
    columns = {"TF": ["A", "C", "C"], "target": ["v", "w", "Q"], "mor": [1, -1, 1], "note": ["a", None, "b"]}
    return pd.DataFrame(columns, index=[3, 3, 7]).astype({"TF": "category"})


CALLS: dict[str, Callable[[RegulatoryNetwork, pd.DataFrame], object]] = {
    "rank_regulators": lambda network, reference: rank_regulators(network),
    "regulons": lambda network, reference: regulons(network, top=1),
    "compare_networks": lambda network, reference: compare_networks(network, network, top=3),
    "reference_overlap": lambda network, reference: reference_overlap(network, reference, top=3),
    "score_network": lambda network, reference: score_network(network, reference),
    "from_frame": lambda network, reference: from_frame(reference),
    "rank of a table": lambda network, reference: rank_regulators(reference),
    "regulons of a table": lambda network, reference: regulons(reference),
    "parts": lambda network, reference: (
        network.top(2),
        network.subset(["C"]),
        network.to_frame(),
        network.to_varp(["B", "C", *GENES]),
    ),
}
FAILURES: dict[str, Callable[[RegulatoryNetwork, pd.DataFrame], object]] = {
    "top": lambda network, reference: regulons(network, top=-1),
    "no network": lambda network, reference: compare_networks(network, reference),
    "no shared gene": lambda network, reference: reference_overlap(network, reference.assign(TF="nobody")),
    "no number": lambda network, reference: from_frame(reference.assign(mor="strong")),
    "unknown name": lambda network, reference: network.subset(["nobody"]),
    "unknown sign": lambda network, reference: rank_regulators(reference.drop(columns="mor")),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_changes_nothing(name: str, network: RegulatoryNetwork, reference: pd.DataFrame) -> None:
    before = digest(network, reference)
    CALLS[name](network, reference)
    assert digest(network, reference) == before


def test_names_leave_as_pandas_own_text(network: RegulatoryNetwork, adata: AnnData) -> None:
    pytest.importorskip("decoupler")
    text = pd.Series(["a"]).dtype  # `str` from pandas 3 on, `object` before
    for table in (regulons(network), compare_networks(network, network)):
        assert table["source"].dtype == table["target"].dtype == text
    assert rank_regulators(network).index.dtype == text
    assert regulator_activity(adata, network, min_targets=2).columns.dtype == text


@pytest.mark.parametrize("name", FAILURES)
def test_a_failed_call_changes_nothing(name: str, network: RegulatoryNetwork, reference: pd.DataFrame) -> None:
    before = digest(network, reference)
    with pytest.raises((TypeError, ValueError)):
        FAILURES[name](network, reference)
    assert digest(network, reference) == before


def test_activities_change_nothing(network: RegulatoryNetwork, adata: AnnData) -> None:
    pytest.importorskip("decoupler")
    before = digest(network, adata)
    regulator_activity(adata, network, min_targets=2)
    with pytest.raises(ValueError, match="No regulator has 9 targets"):
        regulator_activity(adata, network, min_targets=9)
    assert digest(network, adata) == before
