"""Pictures of a report carry no text of the user, and their legends tell the truth."""

import base64

import numpy as np
import pandas as pd
import pytest

from scdual.cli.report._pictures import draw_column, draw_losses, draw_values, heat_colour, two_dimensions


@pytest.fixture
def xy() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(60, 2))


def test_every_category_has_a_colour_and_a_line_in_the_legend(xy: np.ndarray) -> None:
    picture = draw_column(xy, pd.Series(pd.Categorical(["$x", "_hidden", "細胞"] * 20)), "kind")
    assert base64.b64decode(picture.source.removeprefix("data:image/png;base64,"))[1:4] == b"PNG"
    assert [text for _, text in picture.legend] == ["$x", "_hidden", "細胞"]
    assert len({colour for colour, _ in picture.legend}) == 3


def test_rare_categories_and_missing_values_are_grey(xy: np.ndarray) -> None:
    names = [f"type {i % 25:02}" for i in range(59)] + [None]
    legend = draw_column(xy, pd.Series(names, dtype="category"), "kind").legend
    assert len(legend) == 22
    assert [text for _, text in legend[-2:]] == ["5 rarer ones", "no value"]
    assert len({colour for colour, _ in legend}) == 21


@pytest.mark.parametrize("values", [[True, False] * 30, [1, 2, 3] * 20, [0.5] * 60])
def test_few_numbers_are_names(xy: np.ndarray, values: list[float]) -> None:
    assert {text for _, text in draw_column(xy, pd.Series(values), "x").legend} == {str(value) for value in values}


def test_many_numbers_are_a_scale(xy: np.ndarray) -> None:
    legend = draw_column(xy, pd.Series(np.linspace(0, 100, 60)), "x").legend
    assert [text for _, text in legend] == ["2", "98"]


def test_signed_numbers_have_equal_ends_and_nan_is_allowed(xy: np.ndarray) -> None:
    values = np.r_[np.full(59, -3.0), np.nan]
    assert [text for _, text in draw_values(xy, values, "x", is_signed=True).legend] == ["-3", "3"]
    assert draw_values(xy, np.full(60, np.nan), "x", is_signed=True).source


def test_heat_is_white_at_zero_and_pale_at_the_ends() -> None:
    assert heat_colour(0, 2) == heat_colour(float("nan"), 2) == heat_colour(1, 0)
    red, blue = heat_colour(2, 2), heat_colour(-2, 2)
    assert int(red[1:3], 16) > int(red[5:7], 16)
    assert int(blue[1:3], 16) < int(blue[5:7], 16)
    assert heat_colour(9, 2) == red


def test_losses_leave_out_epochs_without_a_value() -> None:
    assert draw_losses({"train_loss": np.array([3.0, 2.0]), "validation_loss": np.array([np.nan, 2.0])})
    with pytest.raises(ValueError, match="expected some of"):
        draw_losses({})


@pytest.mark.parametrize("n_latent", [1, 2, 5])
def test_few_cells_lie_at_their_first_two_dimensions(n_latent: int) -> None:
    latent = np.arange(20.0 * n_latent).reshape(20, n_latent)
    xy, what = two_dimensions(latent)
    assert xy.shape == (20, 2)
    np.testing.assert_array_equal(xy[:, 0], latent[:, 0])
    assert what == "the first two dimensions of the embedding"


@pytest.mark.slow
def test_many_cells_lie_where_umap_puts_them() -> None:
    latent = np.random.default_rng(0).normal(size=(80, 5)) + np.repeat(np.eye(5) * 40, 16, axis=0)
    xy, what = two_dimensions(latent)
    assert what == "a UMAP of the embedding"
    centre = xy.reshape(5, 16, 2).mean(axis=1)
    assert np.linalg.norm(xy.reshape(5, 16, 2) - centre[:, None], axis=2).max() < 10
