"""Names and values reach the screen as they are."""

import pytest

from scdual.cli._tables import show_rows


def test_shows_names_and_values(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows("of a file", {"cells": 12345, "is_trained": True, "markup": "[bold]", "long": "x" * 1000})
    text = capsys.readouterr().out
    for expected in ("of a file", "12,345", "True", "[bold]", "..."):
        assert expected in text
    assert text.count("x") == 500


def test_control_characters_are_shown_not_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows("a\x1b[2J", {"layer \x07": "b\x1b]0;title\x07"})
    text = capsys.readouterr().out
    assert not set(text) & {"\x1b", "\x07"}
    for expected in (r"a\x1b[2J", r"layer \x07", r"b\x1b]0;title\x07"):
        assert expected in text
