"""What names hardware and splits of the cells, and what does not."""

import os
from typing import Any

import numpy as np
import pytest
from lightning.pytorch import Callback
from lightning.pytorch.accelerators import AcceleratorRegistry

from scdual.model._train_arguments import check_hardware, check_plan, check_split, check_trainer, n_validation


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)


@pytest.mark.parametrize("devices", ["auto", 1, -1, np.int64(2), "1", "-1"], ids=repr)
@pytest.mark.usefixtures("two_cores")
def test_processes_are_a_number_or_its_text(devices: Any) -> None:
    check_hardware("cpu", devices)


@pytest.mark.parametrize("devices", [1, "auto", "0, 1", "0,1", [0], [0, 1], (1,)], ids=repr)
def test_graphics_cards_have_numbers(devices: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = AcceleratorRegistry["cuda"]["accelerator"]
    monkeypatch.setattr(cuda, "is_available", lambda: True)
    monkeypatch.setattr(cuda, "auto_device_count", lambda: 2)
    check_hardware("gpu", devices)
    with pytest.raises(ValueError, match="`devices` is 3, but this machine has 2 devices of that kind. Pass at most 2"):
        check_hardware("gpu", 3)


@pytest.mark.parametrize("devices", ["0, 1", [0], [9], (1,)], ids=repr)
def test_processors_have_no_numbers(devices: Any) -> None:
    with pytest.raises(ValueError, match="but processors have no numbers. Pass how many processes"):
        check_hardware("cpu", devices)


@pytest.mark.parametrize("devices", [9, "9"], ids=repr)
@pytest.mark.usefixtures("two_cores")
def test_more_processes_than_cores_are_an_error(devices: Any) -> None:
    with pytest.raises(ValueError, match="but this machine has 2 processor cores. Pass at most 2"):
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
        (
            {"limit_train_batches": "a"},
            TypeError,
            "`limit_train_batches` is 'a', expected a whole number of at least 1",
        ),
        ({"limit_train_batches": True}, TypeError, "`limit_train_batches` is True, expected a whole number"),
        ({"limit_train_batches": 0}, ValueError, "`limit_train_batches` is 0, expected a whole number of at least 1"),
        (
            {"limit_train_batches": 0.0},
            ValueError,
            "`limit_train_batches` is 0.0, expected a whole number of minibatches",
        ),
        ({"limit_val_batches": 2.5}, ValueError, "`limit_val_batches` is 2.5, .* or a share of them up to 1.0"),
        ({"overfit_batches": [1]}, TypeError, r"`overfit_batches` is \[1\], expected a whole number of at least 0"),
        ({"num_sanity_val_steps": "x"}, TypeError, "`num_sanity_val_steps` is 'x', expected a whole number"),
        ({"max_steps": "x"}, TypeError, "`max_steps` is 'x', expected a whole number"),
        ({"max_steps": 0}, ValueError, "`max_steps` is 0, expected a whole number of at least 1"),
        ({"min_epochs": "x"}, TypeError, "`min_epochs` is 'x', expected a whole number"),
        ({"accumulate_grad_batches": "x"}, TypeError, "`accumulate_grad_batches` is 'x', expected a whole number"),
        ({"deterministic": "x"}, ValueError, "`deterministic` is 'x', expected one of"),
        ({"fast_dev_run": "x"}, TypeError, "`fast_dev_run` is 'x', expected a whole number"),
        ({"detect_anomaly": "x"}, TypeError, "`detect_anomaly` is 'x', expected True or False"),
        ({"model_registry": 3}, TypeError, "`model_registry` is 3 of type int, expected str or PathLike or None"),
        ({"ckpt_path": 3}, TypeError, "`ckpt_path` is 3 of type int, expected str or PathLike or None"),
        ({"ckpt_path": "nofile"}, ValueError, "`ckpt_path` is 'nofile', but there is no such file"),
    ],
)
def test_what_the_trainer_would_break_on_later(given: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        check_trainer(None, given, own=[])
    check_trainer(None, {"limit_train_batches": 0.5, "limit_val_batches": 0, "overfit_batches": 0.0}, own=[])
    check_trainer(None, {"fast_dev_run": True, "deterministic": "warn", "max_steps": -1, "min_epochs": None}, own=[])
    fine = {"callbacks": [Callback()], "logger": False, "ckpt_path": "last"}
    check_trainer(None, fine, own=[])
    check_trainer(None, dict.fromkeys(fine), own=[])


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (
            [np.arange(8), np.arange(5, 10)],
            ValueError,
            "has 3 cells more than once, such as 5, expected each in one part",
        ),
        ([np.arange(5), np.arange(5, 8), np.arange(7, 10)], ValueError, "has 1 cells more than once, such as 7"),
        ([np.array([0, 0, 1])], ValueError, "has 1 cells more than once"),
        ([np.arange(8)], ValueError, "has 8 cells between 0 and 7, expected all 10 from 0 to 9"),
        ([np.arange(8), np.arange(10, 12)], ValueError, "has 10 cells between 0 and 11, expected all 10"),
        ([np.array([], int), np.arange(10)], ValueError, "has no cells for training"),
        ([None, np.arange(10)], ValueError, "has no cells for training"),
        ([np.arange(10.0)], TypeError, "for training, expected an array of whole numbers"),
        ([list(range(10))], TypeError, "for training, expected an array of whole numbers"),
        ([np.arange(5), "x"], TypeError, "has 'x' for validation, expected an array"),
        ("x", TypeError, "is 'x' of type str, expected list"),
        ([], ValueError, "has 0 parts, expected one to three"),
        ([np.arange(2)] * 4, ValueError, "has 4 parts, expected one to three"),
    ],
)
def test_the_parts_of_a_split_hold_every_cell_once(given: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        check_split(None, None, {"external_indexing": given}, n_obs=10)


def test_parts_of_a_split_may_be_left_out() -> None:
    for parts in (
        [np.arange(10)],
        [np.arange(6), None, np.arange(6, 10)],
        [np.arange(6), np.arange(6, 10), np.array([])],
    ):
        check_split(None, None, {"external_indexing": parts}, n_obs=10)
    check_split(None, None, {"external_indexing": [np.arange(3)]})  # of minibatches the number of cells is not known


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"shuffle_set_split": True}, "has no argument `shuffle_set_split`. Pass it to the method itself"),
        ({"drop_last": "x"}, "`drop_last` is 'x', expected True or False"),
        ({"num_workers": "x"}, "`num_workers` is 'x', expected a whole number of at least 0"),
        ({"pin_memory": "x"}, "`pin_memory` is 'x', expected True or False"),
    ],
)
def test_what_the_splitter_would_break_on_later(given: dict[str, Any], said: str) -> None:
    with pytest.raises(TypeError, match=said):
        check_split(None, None, given)


@pytest.mark.parametrize("given", [{"overfit_batches": 1}, {"overfit_batches": 0.5}])
def test_lightning_may_not_draw_single_cells(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="`overfit_batches` is .* Pass `limit_train_batches` instead"):
        check_trainer(None, given, own=[])


def test_what_falls_as_the_model_learns_is_not_maximised() -> None:
    check_trainer(None, {"early_stopping_mode": "min"}, own=[])
    with pytest.raises(ValueError, match="`early_stopping_mode` is 'max', but all that can be monitored falls"):
        check_trainer(None, {"early_stopping_mode": "max"}, own=[])
