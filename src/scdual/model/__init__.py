"""The model class."""

from scdual.model._scdual import SCDual

__all__ = ["SCDual"]
