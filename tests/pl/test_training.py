"""Four panels show what is in the history, and say what is not."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from scdual.pl import training_curves

NAMES = ("reconstruction_loss", "kl_local", "regulation_loss")


def history(n_epochs: int = 5) -> dict[str, pd.DataFrame]:
    keys = ["train_loss", "validation_loss", *(f"{name}_{part}" for name in NAMES for part in ("train", "validation"))]
    epoch = pd.RangeIndex(n_epochs, name="epoch")
    return {key: pd.DataFrame({key: np.arange(n_epochs) + 10.0 * i}, epoch) for i, key in enumerate(keys)}


def test_each_panel_has_training_and_validation() -> None:
    tables = history()
    axes = training_curves(tables)
    assert [ax.get_title() for ax in axes] == ["loss", "reconstruction", "KL divergence", "regulation"]
    for ax, (train, validation) in zip(axes, [list(tables)[i : i + 2] for i in range(0, 8, 2)], strict=True):
        assert [line.get_label() for line in ax.lines] == ["training", "validation"]
        np.testing.assert_array_equal(ax.lines[0].get_ydata(), tables[train][train])
        np.testing.assert_array_equal(ax.lines[1].get_ydata(), tables[validation][validation])


def test_quantities_that_were_not_recorded_are_left_out() -> None:
    axes = training_curves({"train_loss": history()["train_loss"]})
    assert len(axes[0].lines) == 1
    assert [ax.texts[0].get_text() for ax in axes[1:]] == ["not recorded"] * 3


def test_a_single_epoch_is_visible() -> None:
    assert training_curves(history(1))[0].lines[0].get_marker() == "o"


def test_values_may_be_python_objects() -> None:
    table = history()["train_loss"].astype(object)
    np.testing.assert_array_equal(training_curves({"train_loss": table})[0].lines[0].get_ydata(), np.arange(5.0))


def test_draws_on_given_axes_of_any_shape() -> None:
    axes = plt.figure().subplots(2, 2)
    assert list(training_curves(history(), axes=axes)) == list(axes.ravel())


def test_wrong_number_of_axes_is_an_error() -> None:
    with pytest.raises(ValueError, match="Found 2 `axes`, expected 4"):
        training_curves(history(), axes=plt.figure().subplots(1, 2))


def test_history_without_losses_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"`history` has \['lr-AdamW'\], expected some of"):
        training_curves({"lr-AdamW": history()["train_loss"]})
