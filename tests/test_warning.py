"""A warning points at the line of the user, whatever lies between."""

import warnings

import torch

from scdual._warning import warn


def called_from(module: str, *decorators: object) -> object:
    """Return a function of the named module that warns."""
    space = {"__name__": module, "warn": warn}
    exec("def method():\n    warn('look')", space)
    found = space["method"]
    for decorate in decorators:
        found = decorate(found)
    return found


def line_of(function: object) -> tuple[str, int]:
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        function()
    return given[0].filename, given[0].lineno


HERE = line_of.__code__.co_firstlineno + 3


def test_it_is_the_line_that_called_the_package() -> None:
    assert line_of(called_from("scdual.model._some")) == (__file__, HERE)


def test_it_is_not_a_line_of_a_decorator() -> None:
    assert line_of(called_from("scdual.model._some", torch.inference_mode())) == (__file__, HERE)
    assert line_of(called_from("scdual.model._some", torch.no_grad(), torch.inference_mode())) == (__file__, HERE)


def test_decorators_of_the_user_are_the_users_own() -> None:
    method = called_from("scdual.model._some")

    @torch.no_grad()
    def analysis() -> None:
        method()

    filename, line = line_of(analysis)
    assert filename == __file__
    assert line == analysis.__wrapped__.__code__.co_firstlineno + 2
