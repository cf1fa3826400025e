"""Tools that work on the network of a trained model. They never train, and change nothing they are given."""

from scdual.tl._compare_networks import compare_networks
from scdual.tl._rank_regulators import rank_regulators
from scdual.tl._reference_overlap import ReferenceOverlap, reference_overlap
from scdual.tl._regulator_activity import regulator_activity
from scdual.tl._regulons import regulons

__all__ = [
    "ReferenceOverlap",
    "compare_networks",
    "rank_regulators",
    "reference_overlap",
    "regulator_activity",
    "regulons",
]
