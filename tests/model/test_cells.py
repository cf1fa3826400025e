"""Positions and masks choose the cells they should, and nothing else is taken for either."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scdual.model import SCDual
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
    check_cells(None, loader_kwargs={"num_workers": 0, "shuffle": False, "sampler": None, "in_order": True})
    with pytest.raises(TypeError, match="has no argument `num_worker`. Did you mean 'num_workers'"):
        check_cells(None, loader_kwargs={"num_worker": 0})


@pytest.mark.parametrize(
    "changing",
    [
        {"shuffle": True},
        {"drop_last": True},
        {"drop_dataset_tail": True},
        {"sampler": [0, 1]},
        {"batch_sampler": [[0]]},
        {"distributed_sampler": True},
        {"data_and_attributes": ["X"]},
        {"collate_fn": list},
        {"iter_ndarray": True},
        {"in_order": False},
    ],
)
def test_rows_of_a_result_are_those_of_the_data(changing: dict[str, Any]) -> None:
    with pytest.raises(
        ValueError, match=f"`{next(iter(changing))}` is .* Leave it out, and choose cells with `indices`"
    ):
        check_cells(None, loader_kwargs=changing)


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        ([], ValueError, "is empty"),
        ("loader", TypeError, "is 'loader' of type str"),
        ({"X": 1}, TypeError, ".* of type dict"),
        ([None], TypeError, "holds None of type NoneType"),
        (3, TypeError, "is 3 of type int"),
    ],
)
def test_what_is_no_minibatches(wrong: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=f"`dataloader` {said}.* expected minibatches"):
        check_cells(None, dataloader=wrong)


def test_every_method_that_reads_cells_refuses_another_order(trained: SCDual) -> None:
    names = ("get_elbo", "get_marginal_ll", "get_reconstruction_error", "get_normalized_expression")
    for name in names:
        with pytest.raises(ValueError, match="`shuffle` is True"):
            getattr(trained, name)(data_loader_kwargs={"shuffle": True})
    for name in ("get_latent_representation", "get_latent_library_size", "get_likelihood_parameters"):
        with pytest.raises(ValueError, match="`drop_last` is True"):
            getattr(trained, name)(drop_last=True)


def test_a_misspelt_argument_of_the_method_gets_the_nearest(trained: SCDual) -> None:
    with pytest.raises(TypeError, match="`batchsize`. Did you mean 'batch_size'"):
        trained.get_latent_representation(batchsize=3)
    with pytest.raises(TypeError, match="`give_meen`. Did you mean 'give_mean'"):
        trained.get_latent_representation(give_meen=True)
    with pytest.raises(TypeError, match="`epochs`. Did you mean 'max_epochs'"):
        trained.train(epochs=3)
    with pytest.raises(TypeError, match="`group_by`. Did you mean 'groupby'"):
        trained.differential_expression(group_by="batch")
