"""Cell states and signed gene regulation from single-cell counts.

Importing the package loads none of its parts; each is loaded when it is first used.
"""

import importlib
import importlib.metadata
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scdual import data, datasets, grn, model, pl, pp, tl

__all__ = ["__version__", "data", "datasets", "grn", "model", "pl", "pp", "tl"]

__version__ = importlib.metadata.version("scdual")


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return importlib.import_module(f"scdual.{name}")
    msg = f"module 'scdual' has no attribute {name!r}; it has {__all__}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted(__all__)
