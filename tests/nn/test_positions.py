"""Chosen entries are those that a loop finds."""

import pytest
import torch

from scdual.nn import positions


@pytest.mark.parametrize("is_chosen", [torch.rand(5, 7) < 0.3, torch.zeros(3, 4, dtype=torch.bool), torch.zeros(0) > 0])
def test_they_are_those_of_a_loop(is_chosen: torch.Tensor) -> None:
    found = positions(is_chosen)
    assert found.dtype == torch.int64
    assert found.tolist() == [place for place, chosen in enumerate(is_chosen.flatten().tolist()) if chosen]
