"""Text of users and files on a terminal, where control characters would be commands."""


def visible(text: str) -> str:
    """Return the text with characters that do not print written as in Python, Escape as its code ``1b``."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
