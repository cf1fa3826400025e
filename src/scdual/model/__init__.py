"""The model class, and what its methods return."""

from scdual.model._perturbation import Perturbation
from scdual.model._perturbation_check import PerturbationCheck
from scdual.model._scdual import SCDual

__all__ = ["Perturbation", "PerturbationCheck", "SCDual"]
