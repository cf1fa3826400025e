"""Checks of arguments: what passes, and the sentence for what does not."""

import math
import sys
from typing import Any

import numpy as np
import pytest

from scdual._checks import (
    check_choice,
    check_column,
    check_flag,
    check_keywords,
    check_names,
    check_number,
    check_share,
    check_type,
    check_whole,
)

LIKELIHOODS = ("nb", "zinb", "poisson")


@pytest.mark.parametrize("value", ["nb", np.str_("zinb")])
def test_a_choice_passes(value: str) -> None:
    check_choice("gene_likelihood", value, LIKELIHOODS)


@pytest.mark.parametrize(
    ("value", "advice"),
    [("ZINB", "Did you mean 'zinb'?"), ("poison", "Did you mean 'poisson'?"), ("normal", "Pass one of these.")],
)
def test_a_wrong_choice_gets_the_choices_and_the_nearest(value: str, advice: str) -> None:
    with pytest.raises(ValueError, match="gene_likelihood") as error:
        check_choice("gene_likelihood", value, LIKELIHOODS)
    assert str(error.value) == f"`gene_likelihood` is {value!r}, expected one of ['nb', 'zinb', 'poisson']. {advice}"


@pytest.mark.parametrize("value", [None, 1, ["nb"], np.zeros(2), math.nan])
def test_other_types_are_no_choice(value: Any) -> None:
    with pytest.raises(ValueError, match="gene_likelihood"):
        check_choice("gene_likelihood", value, LIKELIHOODS)


def test_true_is_not_one() -> None:
    check_choice("sign", np.int64(1), (1, -1))
    with pytest.raises(ValueError, match="sign"):
        check_choice("sign", True, (1, -1))


@pytest.mark.parametrize("value", [2, np.int64(3), np.uint8(4)])
def test_whole_numbers_of_python_and_numpy_pass(value: int) -> None:
    check_whole("n", value, at_least=2, at_most=4)


@pytest.mark.parametrize("value", [True, np.True_, 2.0, 2.5, math.nan, math.inf, "2", None, [2], np.array([2, 3])])
def test_anything_else_is_no_whole_number(value: Any) -> None:
    with pytest.raises(TypeError, match="`n` is .* expected a whole number of at least 2"):
        check_whole("n", value, at_least=2)


def test_a_float_gets_the_nearest_whole_number() -> None:
    with pytest.raises(TypeError, match=r"`max_epochs` is 1000.0, .* Pass for example 1000\."):
        check_whole("max_epochs", 1e3, at_least=1)


@pytest.mark.parametrize("value", [1, 5])
def test_whole_numbers_out_of_range(value: int) -> None:
    with pytest.raises(ValueError, match=rf"`n` is {value}, expected a whole number from 2 to 4\."):
        check_whole("n", value, at_least=2, at_most=4)


@pytest.mark.parametrize("value", [0, 1, 0.5, np.float32(0.25)])
def test_shares_pass(value: float) -> None:
    check_share("visible_share", value)


@pytest.mark.parametrize("value", [-0.1, 1.5, math.nan, math.inf])
def test_shares_out_of_range(value: float) -> None:
    with pytest.raises(ValueError, match=r"`visible_share` is .*, expected a number from 0 to 1, or None\."):
        check_share("visible_share", value, optional=True)


def test_ends_can_be_left_out() -> None:
    check_number("x", 0.5, above=0, below=1)
    for end in (0, 1):
        with pytest.raises(ValueError, match="above 0 and below 1"):
            check_number("x", end, above=0, below=1)


@pytest.mark.parametrize("value", [True, "0.5", None, 1j])
def test_anything_else_is_no_number(value: Any) -> None:
    with pytest.raises(TypeError, match="`x` is .* expected a finite number"):
        check_number("x", value)


def test_none_passes_where_it_is_optional() -> None:
    for check in (check_whole, check_number, check_share, check_flag):
        check("x", None, optional=True)  # type: ignore[operator]
    check_type("x", None, str, optional=True)


@pytest.mark.parametrize("value", ["no", 1, None])
def test_flags_are_true_or_false(value: Any) -> None:
    check_flag("soft", np.bool_(False))
    with pytest.raises(TypeError, match="`soft` is .* expected True or False"):
        check_flag("soft", value)


def test_types_are_named() -> None:
    with pytest.raises(TypeError, match="`network` is 3 of type int, expected str or list or None"):
        check_type("network", 3, str, list, optional=True)


def test_what_prints_itself_is_named_by_its_type(capsys: pytest.CaptureFixture[str]) -> None:
    class Model:
        def __repr__(self) -> str:
            sys.stdout.write("a long table")
            return ""

    with pytest.raises(TypeError, match=r"^`network` is of type Model, expected str. Pass a text\.$"):
        check_type("network", Model(), str, advice="Pass a text.")
    assert capsys.readouterr().out == ""


def test_a_single_text_is_no_list_of_names() -> None:
    with pytest.raises(TypeError, match=r"Pass \['GATA1'\]"):
        check_names("gene_list", "GATA1")


@pytest.mark.parametrize(("value", "found"), [([], "no names"), (["a", "b", "a"], "'a'.* more than once")])
def test_names_are_given_once(value: list[str], found: str) -> None:
    with pytest.raises(ValueError, match=found):
        check_names("gene_list", value)


@pytest.mark.parametrize("value", [3, [3], ["a", None], [math.nan]])
def test_names_are_text(value: Any) -> None:
    with pytest.raises(TypeError, match="gene_list"):
        check_names("gene_list", value)


def test_names_of_an_iterator_are_kept() -> None:
    assert check_names("gene_list", (name for name in "ab")) == ["a", "b"]


@pytest.mark.parametrize("value", ["celltype", None, ["cell_type"], 3])
def test_a_column_that_is_not_there(value: Any) -> None:
    with pytest.raises(KeyError, match=r"is not a column of `obs`, which has \['cell_type', 'batch'\]\. "):
        check_column("groupby", value, ["cell_type", "batch", "_scvi_batch"])


def test_an_unknown_keyword_gets_the_nearest() -> None:
    with pytest.raises(TypeError, match="`SCDual` has no argument `n_head`. Did you mean 'n_heads'"):
        check_keywords(["n_head"], ["n_heads", "n_bins"], where="`SCDual`")


def test_the_arguments_of_the_method_itself_are_nearer() -> None:
    with pytest.raises(TypeError, match="Did you mean 'max_epochs'"):
        check_keywords(["epochs"], ["min_epochs"], where="`train`", own=["max_epochs"])
    with pytest.raises(TypeError, match="Did you mean 'early_stopping_patience'"):
        check_keywords(["early_stopping_patiense"], ["early_stopping_patience"], where="f", own=["early_stopping"])
    with pytest.raises(TypeError, match="`f` has no argument `batch_size`. Pass it to the method itself"):
        check_keywords(["batch_size"], ["num_workers"], where="`f`", own=["batch_size"])


def test_long_values_and_lists_are_cut() -> None:
    with pytest.raises(ValueError, match=r"and 88 more") as error:
        check_choice("x", "y" * 1_000, range(100))
    assert len(str(error.value)) < 300
