"""A mean over cells is that of a loop, whatever the sizes of the minibatches."""

import math

import pytest
import torch

from scdual.module._mean import MeanOverCells


def test_it_weighs_minibatches_by_their_cells() -> None:
    mean = MeanOverCells()
    mean.update(torch.tensor(2.0), 3)
    mean.update(5.0, 1)
    assert mean.compute().item() == pytest.approx((2 * 3 + 5) / 4)
    mean.reset()
    mean.update(7.0, 2)
    assert mean.compute().item() == 7.0


def test_what_is_no_number_stays_so() -> None:
    mean = MeanOverCells()
    mean.update(torch.tensor(math.nan), 3)
    mean.update(torch.tensor(1.0), 3)
    assert math.isnan(mean.compute().item())
