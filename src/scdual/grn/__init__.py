"""The result of scdual: a signed regulatory network, its conversions and its scores."""

from scdual.grn._align import align_networks
from scdual.grn._comparison import ConditionComparison
from scdual.grn._consensus import average_product_correction, consensus_network
from scdual.grn._convert import from_attention_layout, from_frame, from_varp
from scdual.grn._evidence import EdgeEvidence, edge_evidence, false_discovery_rate, q_values
from scdual.grn._export import write_network
from scdual.grn._network import RegulatoryNetwork
from scdual.grn._scores import (
    NetworkScores,
    auprc_ratio,
    auroc,
    balanced_sign_accuracy,
    early_precision_ratio,
    score_network,
    sign_accuracy,
    sign_majority,
)

__all__ = [
    "ConditionComparison",
    "EdgeEvidence",
    "NetworkScores",
    "RegulatoryNetwork",
    "align_networks",
    "auprc_ratio",
    "auroc",
    "average_product_correction",
    "balanced_sign_accuracy",
    "consensus_network",
    "early_precision_ratio",
    "edge_evidence",
    "false_discovery_rate",
    "from_attention_layout",
    "from_frame",
    "from_varp",
    "q_values",
    "score_network",
    "sign_accuracy",
    "sign_majority",
    "write_network",
]
