"""What names hardware and splits of the cells, and what does not."""

from typing import Any

import numpy as np
import pytest
from lightning.pytorch import Callback

from scdual.model._train_arguments import check_hardware, check_plan, check_split, check_trainer, n_validation


@pytest.mark.parametrize("devices", ["auto", 1, -1, np.int64(2), "1", "-1", "0, 1", "0,1", [0], [0, 1], (1,)], ids=repr)
def test_devices_are_a_number_a_list_or_their_text(devices: Any) -> None:
    check_hardware("cpu", devices)


@pytest.mark.parametrize("devices", [0, -2, True, 1.0, "", "cpu", [], [-1], ["0"], [True], None], ids=repr)
def test_anything_else_is_no_device(devices: Any) -> None:
    with pytest.raises(ValueError, match="`devices` is .*, expected 'auto'"):
        check_hardware("cpu", devices)


def test_a_misspelt_accelerator_gets_the_nearest() -> None:
    with pytest.raises(ValueError, match="Did you mean 'tpu'"):
        check_hardware("tpuu", "auto")


@pytest.mark.parametrize(
    ("n_obs", "train_size", "validation_size", "expected"),
    [(150, None, None, 15), (9, None, None, 0), (10, None, None, 1), (100, 0.99, None, 1), (10, 0.99, None, 0)]
    + [(100, 0.5, 0.25, 25), (100, 0.5, 0.0, 0), (100, 1.0, None, 0)],
)
def test_cells_set_aside_are_those_of_scvi_tools(
    n_obs: int, train_size: float | None, validation_size: float | None, expected: int
) -> None:
    assert n_validation(n_obs, train_size, validation_size) == expected


def test_shares_may_add_up_to_one_whatever_their_rounding() -> None:
    for share in np.linspace(0.05, 0.95, 19):
        check_split(float(share), float(1 - share), None)


def test_misspelt_arguments_get_the_nearest() -> None:
    with pytest.raises(TypeError, match="`plan_kwargs` has no argument `weightdecay`. Did you mean 'weight_decay'"):
        check_plan(None, {"weightdecay": 0.1})
    with pytest.raises(TypeError, match="`train` has no argument `max_epoch`. Did you mean 'max_epochs'"):
        check_trainer(None, {"max_epoch": 3}, own=["max_epochs"])
    with pytest.raises(TypeError, match="`datasplitter_kwargs` has no argument `droplast`. Did you mean 'drop_last'"):
        check_split(None, None, {"droplast": True})


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"callbacks": 3}, TypeError, "`callbacks` is 3 of type int, expected list or tuple or None"),
        ({"callbacks": Callback()}, TypeError, "`callbacks` is of type Callback, expected list .* Pass a list"),
        ({"callbacks": [Callback(), "x"]}, TypeError, r"`callbacks\[1\]` is 'x' of type str, expected Callback"),
        ({"logger": "x"}, TypeError, "`logger` is 'x' of type str, expected Logger or bool or None"),
        ({"ckpt_path": 3}, TypeError, "`ckpt_path` is 3 of type int, expected str or PathLike or None"),
        ({"ckpt_path": "nofile"}, ValueError, "`ckpt_path` is 'nofile', but there is no such file"),
    ],
)
def test_what_the_trainer_would_break_on_later(given: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        check_trainer(None, given, own=[])
    fine = {"callbacks": [Callback()], "logger": False, "ckpt_path": "last"}
    check_trainer(None, fine, own=[])
    check_trainer(None, dict.fromkeys(fine), own=[])
