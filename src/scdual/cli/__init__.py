"""The command line: ``scdual demo``, ``fit``, ``edges`` and ``info``."""

from scdual.cli._main import main

__all__ = ["main"]
