"""Type aliases shared by all floors."""

from typing import Literal

GeneLikelihood = Literal["nb", "zinb", "poisson"]
Organism = Literal["human", "mouse"]
MapKind = Literal["regulation", "attention", "gate"]
