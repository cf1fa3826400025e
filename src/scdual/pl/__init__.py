"""Pictures of networks and of training. They need ``pip install "scdual[plots]"`` and never train."""

from scdual.pl._network import network_graph
from scdual.pl._network_comparison import network_comparison
from scdual.pl._perturbation import perturbation
from scdual.pl._regulation_heatmap import regulation_heatmap
from scdual.pl._regulator_ranking import regulator_ranking
from scdual.pl._training import training_curves

__all__ = [
    "network_comparison",
    "network_graph",
    "perturbation",
    "regulation_heatmap",
    "regulator_ranking",
    "training_curves",
]
