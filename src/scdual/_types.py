"""Type aliases shared by all floors."""

from typing import Literal

BatchRepresentation = Literal["one-hot", "embedding"]
Dispersion = Literal["gene", "gene-batch", "gene-label", "gene-cell"]
GeneLikelihood = Literal["nb", "zinb", "poisson"]
Organism = Literal["human", "mouse"]
MapKind = Literal["regulation", "influence", "attention", "gate", "consensus"]
DifferentialMode = Literal["vanilla", "change"]
CellWeights = Literal["uniform", "importance"]
CorrelationType = Literal["spearman", "pearson"]
NetworkFormat = Literal["csv", "tsv", "decoupler", "graphml", "sif", "gmt", "generrnib"]
