"""Pictures of networks and of training. They need ``pip install "scdual[plots]"`` and never train."""

from scdual.pl._network import network_graph
from scdual.pl._regulation_heatmap import regulation_heatmap
from scdual.pl._training import training_curves

__all__ = ["network_graph", "regulation_heatmap", "training_curves"]
