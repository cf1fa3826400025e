"""Pictures of networks and of training. They need ``pip install "scdual[plots]"`` and never train."""

from scdual.pl._activity import activity_dotplot, activity_heatmap
from scdual.pl._difference_network import difference_network
from scdual.pl._network import network_graph
from scdual.pl._network_comparison import network_comparison
from scdual.pl._perturbation import perturbation
from scdual.pl._regulation_heatmap import regulation_heatmap
from scdual.pl._regulator_ranking import regulator_ranking
from scdual.pl._training import training_curves
from scdual.pl._volcano import edge_volcano, regulator_volcano

__all__ = [
    "activity_dotplot",
    "activity_heatmap",
    "difference_network",
    "edge_volcano",
    "network_comparison",
    "network_graph",
    "perturbation",
    "regulation_heatmap",
    "regulator_ranking",
    "regulator_volcano",
    "training_curves",
]
