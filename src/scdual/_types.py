"""Type aliases shared by all floors, and which file name means which format."""

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

FORMAT_OF_SUFFIX: dict[str, NetworkFormat] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".graphml": "graphml",
    ".sif": "sif",
    ".gmt": "gmt",
    ".h5ad": "generrnib",
}
"""What the end of the name of a file says about the format of a network."""
