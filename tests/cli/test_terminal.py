"""No text of a file acts on the terminal."""

import pytest

from scdual.cli._terminal import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GATA1 -> HBB", "GATA1 -> HBB"),
        ("Zelltyp β, 细胞", "Zelltyp β, 细胞"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("a\x07\r\n\tb", r"a\x07\r\n\tb"),
        ("\x9b2J", r"\x9b2J"),
        ("right\u202eto left", r"right\u202eto left"),
    ],
)
def test_characters_that_do_not_print_are_shown_as_codes(text: str, shown: str) -> None:
    assert visible(text) == shown
