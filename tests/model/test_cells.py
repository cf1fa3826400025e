"""Positions and masks choose the cells they should, and nothing else is taken for either."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scdual.model._cells import cell_positions, check_cells

MASK = [True, False, True, False, False]


@pytest.fixture
def adata() -> AnnData:
    return AnnData(np.ones((5, 3), dtype=np.float32))


@pytest.mark.parametrize(
    ("indices", "expected"),
    [
        ([3, 1], [3, 1]),
        (2, [2]),
        ([-1, 0], [4, 0]),
        (range(1, 3), [1, 2]),
        ([1, 1], [1, 1]),
        (np.array([4], dtype=np.uint8), [4]),
        (MASK, [0, 2]),
        (pd.Series(MASK), [0, 2]),
        (pd.Index([0, 2]), [0, 2]),
    ],
)
def test_positions_count_from_either_end_and_masks_choose(adata: AnnData, indices: Any, expected: list[int]) -> None:
    assert cell_positions(adata, indices).tolist() == expected


@pytest.mark.parametrize(
    ("indices", "said"),
    [
        ([5], "`indices` has 5, but the data have 5 cells; pass positions from 0 to 4"),
        ([0, -6], "`indices` has -6"),
        ([True], "`indices` is a mask of 1 cells, but the data have 5"),
        ([], "`indices` chooses none of the 5 cells"),
        ([False] * 5, "`indices` chooses none of the 5 cells"),
    ],
)
def test_cells_that_are_not_there(adata: AnnData, indices: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        cell_positions(adata, indices)


@pytest.mark.parametrize("indices", [[0.0], ["0"], "0", [[0, 1]], [None], [np.nan], {0, 1}])
def test_other_types_choose_no_cells(adata: AnnData, indices: Any) -> None:
    with pytest.raises(TypeError, match="`indices` is .* expected positions of cells as whole numbers, or a mask"):
        cell_positions(adata, indices)


def test_names_get_the_way_to_positions(adata: AnnData) -> None:
    with pytest.raises(TypeError, match=r"`adata.obs_names.get_indexer\(names\)`"):
        cell_positions(adata, ["0", "1"])


@pytest.mark.parametrize(
    ("given", "first"),
    [
        ({"indices": [0]}, "indices"),
        ({"batch_size": 8}, "batch_size"),
        ({"loader_kwargs": {"num_workers": 0}}, "num_workers"),
    ],
)
def test_minibatches_leave_nothing_to_choose(given: dict[str, Any], first: str) -> None:
    check_cells(None, dataloader=[{}])
    with pytest.raises(ValueError, match=f"Only one of `{first}` or `dataloader`"):
        check_cells(None, dataloader=[{}], **given)


def test_a_misspelt_argument_of_the_loader_gets_the_nearest() -> None:
    check_cells(None, loader_kwargs={"num_workers": 0, "iter_ndarray": True})
    with pytest.raises(TypeError, match="has no argument `num_worker`. Did you mean 'num_workers'"):
        check_cells(None, loader_kwargs={"num_worker": 0})
