"""The command line: ``scdual demo``, ``fit``, ``edges``, ``info`` and ``report``."""

from scdual.cli._main import main

__all__ = ["main"]
