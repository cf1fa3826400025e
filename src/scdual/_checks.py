"""Check arguments before any work; each error is one sentence: what was found, what was expected, what to do."""

import difflib
import inspect
import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from numbers import Integral, Real
from reprlib import Repr
from typing import Any

import numpy as np

_MAX_LISTED = 12
_NEAR = 0.6  # similarity of names that may be meant for each other, as in difflib
_SHOWN = Repr()
_SHOWN.maxstring = _SHOWN.maxother = 60  # characters of a value that a sentence quotes


def check_choice(name: str, value: Any, choices: Iterable[Any]) -> None:
    """Raise ``ValueError`` unless the value is one of the choices; near misses get a suggestion.

    Parameters
    ----------
    name
        Name of the argument.
    value
        What was passed.
    choices
        What may be passed, usually ``typing.get_args`` of an alias in ``_types.py``; with None if that is allowed.
    """
    choices = tuple(choices)
    is_bool = isinstance(value, bool | np.bool_)  # True would pass for 1
    found = any(value is choice for choice in choices) if is_bool else isinstance(value, Hashable) and value in choices
    if not found:
        advice = did_you_mean(value, choices) or "Pass one of these."
        msg = f"`{name}` is {shown(value)}, expected one of {listed(choices)}. {advice}"
        raise ValueError(msg)


def check_whole(
    name: str, value: Any, *, at_least: int | None = None, at_most: int | None = None, optional: bool = False
) -> None:
    """Raise ``TypeError`` unless the value is a whole number, or ``ValueError`` if it is out of range.

    Parameters
    ----------
    name
        Name of the argument.
    value
        What was passed; a bool or a float is no whole number.
    at_least, at_most
        Range, ends included.
    optional
        Whether None passes.
    """
    if optional and value is None:
        return
    expected = _expected("a whole number", optional=optional, at_least=at_least, at_most=at_most)
    if isinstance(value, bool) or not isinstance(value, Integral):
        is_near = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
        advice = f" Pass for example {max(round(value), at_least or 0)}." if is_near else ""
        msg = f"`{name}` is {shown(value)}, expected {expected}.{advice}"
        raise TypeError(msg)
    _check_range(name, value, expected, at_least=at_least, at_most=at_most)


def check_number(
    name: str,
    value: Any,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    optional: bool = False,
) -> None:
    """Raise ``TypeError`` unless the value is a number, or ``ValueError`` if it is not finite or out of range.

    Parameters
    ----------
    name
        Name of the argument.
    value
        What was passed; a bool is no number.
    at_least, at_most
        Range, ends included.
    above, below
        Range, ends left out.
    optional
        Whether None passes.
    """
    if optional and value is None:
        return
    limits = {"at_least": at_least, "above": above, "at_most": at_most, "below": below}
    kind = "a finite number" if at_most is None and below is None else "a number"
    expected = _expected(kind, optional=optional, **limits)
    if isinstance(value, bool) or not isinstance(value, Real):
        msg = f"`{name}` is {shown(value)}, expected {expected}."
        raise TypeError(msg)
    _check_range(name, value, expected, **limits)


def check_share(name: str, value: Any, *, optional: bool = False) -> None:
    """Raise an error, as :func:`check_number` does, unless the value lies between 0 and 1, ends included."""
    check_number(name, value, at_least=0, at_most=1, optional=optional)


def check_flag(name: str, value: Any, *, optional: bool = False) -> None:
    """Raise ``TypeError`` unless the value is True or False; a text such as ``'no'`` would count as True."""
    if not (isinstance(value, bool | np.bool_) or (optional and value is None)):
        msg = f"`{name}` is {shown(value)}, expected True or False{' or None' if optional else ''}."
        raise TypeError(msg)


def check_type(name: str, value: Any, *kinds: type, optional: bool = False, advice: str = "") -> None:
    """Raise ``TypeError`` unless the value is of one of these types; the advice is a sentence on what to do."""
    if not (isinstance(value, kinds) or (optional and value is None)):
        expected = " or ".join([kind.__name__ for kind in kinds] + (["None"] if optional else []))
        # Others are long as text, or print themselves, as models do.
        found = f"{shown(value)} " if type(value).__module__ in ("builtins", "numpy") else ""
        msg = f"`{name}` is {found}of type {type(value).__name__}, expected {expected}.{advice and f' {advice}'}"
        raise TypeError(msg)


def check_names(name: str, value: Any) -> list[str]:
    """Return several names as a list.

    Raises
    ------
    TypeError
        If the value is a single text, which Python would take for a list of letters, or holds anything but text.
    ValueError
        If there is no name, or one occurs twice.
    """
    if isinstance(value, str):
        msg = f"`{name}` is the text {shown(value)}, expected a list of names. Pass [{shown(value)}]."
        raise TypeError(msg)
    names = list(value) if isinstance(value, Iterable) else [value]
    wrong = [item for item in names if not isinstance(item, str)]
    if wrong:
        msg = f"`{name}` holds {shown(wrong[0])} of type {type(wrong[0]).__name__}, expected a list of names."
        raise TypeError(msg)
    repeated = [item for item, number in Counter(names).items() if number > 1]
    if repeated or not names:
        found = f"{listed(repeated)} more than once" if repeated else "no names"
        msg = f"`{name}` has {found}, expected different names, at least one. Name each once."
        raise ValueError(msg)
    return [str(item) for item in names]


def check_column(name: str, value: Any, columns: Iterable[Any], *, table: str = "obs") -> None:
    """Raise ``KeyError`` unless the value names one of the columns of a table."""
    columns = list(columns)
    if not isinstance(value, Hashable) or value not in columns:
        own = users_columns(columns)
        advice = did_you_mean(value, own) or "Name one of those."
        msg = f"`{name}={shown(value)}` is not a column of `{table}`, which has {listed(own)}. {advice}"
        raise KeyError(msg)


def users_columns(columns: Iterable[Any]) -> list[Any]:
    """Return the columns without those that scvi-tools writes."""
    return [column for column in columns if not str(column).startswith("_scvi_")]


def check_key(name: str, value: Any, *, taken: Iterable[str] = ()) -> None:
    """Raise an error unless results can be kept under the value: None, or a text that a file can hold and nothing else has.

    Parameters
    ----------
    name
        Name of the argument.
    value
        What was passed.
    taken
        Keys of other results of scdual.
    """
    check_type(name, value, str, optional=True)
    if value is not None and (not value or "/" in value):
        msg = f"`{name}` is {value!r}, expected a name without '/', which a file could not hold. Choose another."
        raise ValueError(msg)
    if value is not None and value in taken:
        msg = f"`{name}` is {value!r}, under which scdual keeps other results. Choose another name."
        raise ValueError(msg)


def check_keywords(given: Iterable[str], known: Iterable[str], *, where: str, own: Iterable[str] = ()) -> None:
    """Raise ``TypeError`` if a name of ``**kwargs`` is unknown, as Python does for other arguments.

    Parameters
    ----------
    given
        Names that were passed.
    known
        Names that may be passed.
    where
        What takes them, such as ``"`train`"``.
    own
        Names of the other arguments of the function, one of which may have been meant.
    """
    known = list(known)
    unknown = [name for name in given if name not in known]
    if unknown:
        names = list(dict.fromkeys([*own, *known]))
        advice = did_you_mean(unknown[0], names) or f"It has {listed(names, most=None)}."
        if unknown[0] in names:  # it came in a dictionary
            advice = "Pass it to the method itself."
        msg = f"{where} has no argument `{unknown[0]}`. {advice}"
        raise TypeError(msg)


def argument_names(function: Callable[..., Any]) -> list[str]:
    """Return the names of the arguments of a function, without ``*args`` and ``**kwargs``."""
    parameters = inspect.signature(function).parameters.values()
    return [each.name for each in parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]


def did_you_mean(value: Any, choices: Iterable[Any]) -> str:
    """Return a question that names the nearest choice, the first of several, or nothing if none is near; case does not count."""
    lowered = {str(choice).lower(): choice for choice in choices if isinstance(choice, str)}
    if not isinstance(value, str) or not lowered:
        return ""
    matcher = difflib.SequenceMatcher(b=value.lower())

    def nearness(name: str) -> float:
        matcher.set_seq1(name)
        return matcher.ratio()

    near = max(lowered, key=nearness)
    return f"Did you mean {lowered[near]!r}?" if nearness(near) >= _NEAR else ""


def listed(choices: Iterable[Any], *, most: int | None = _MAX_LISTED) -> str:
    """Return choices as text, shortened when there are many."""
    choices = [str(choice) if isinstance(choice, str) else choice for choice in choices]  # a NumPy text shows its type
    more = f" and {len(choices) - most} more" if most is not None and len(choices) > most else ""
    return f"{choices[:most]}{more}"


def shown(value: Any) -> str:
    """Return a value as a sentence quotes it, on one line and not too long."""
    plain = value.item() if isinstance(value, np.generic) else value
    return " ".join(_SHOWN.repr(plain).split())


def _expected(what: str, *, optional: bool, **limits: float | None) -> str:
    words = {"at_least": "of at least", "above": "above", "at_most": "of at most", "below": "below"}
    given = {limit: number for limit, number in limits.items() if number is not None}
    parts = [f" {words[limit]} {number}" for limit, number in given.items()]
    if given.keys() == {"at_least", "at_most"}:
        parts = [f" from {given['at_least']} to {given['at_most']}"]
    return f"{what}{' and'.join(parts)}{', or None' if optional else ''}"


def _check_range(name: str, value: Any, expected: str, **limits: float | None) -> None:
    holds = {
        "at_least": lambda limit: value >= limit,
        "above": lambda limit: value > limit,
        "at_most": lambda limit: value <= limit,
        "below": lambda limit: value < limit,
    }
    if not math.isfinite(value) or not all(
        holds[limit](number) for limit, number in limits.items() if number is not None
    ):
        msg = f"`{name}` is {shown(value)}, expected {expected}."
        raise ValueError(msg)
