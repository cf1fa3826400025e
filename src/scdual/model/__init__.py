"""The model class, and what it returns."""

from scdual.model._comparison import ConditionComparison
from scdual.model._scdual import SCDual

__all__ = ["ConditionComparison", "SCDual"]
