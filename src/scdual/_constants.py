"""Names of everything SCDual writes or logs, in one place."""

import re
from typing import NamedTuple
from urllib.parse import unquote


class _ResultKeys(NamedTuple):
    """Where `SCDual.annotate` puts its results."""

    LATENT: str = "X_scdual"
    REGULATION: str = "scdual_regulation"
    SD: str = "scdual_sd"
    SUPPORT: str = "scdual_support"
    ATTENTION: str = "scdual_attention"
    GATE: str = "scdual_gate"
    GENE_EMBEDDING: str = "scdual_gene_embedding"
    REGULATOR: str = "scdual_regulator"
    N_CELLS: str = "scdual_n_cells"
    PARAMETERS: str = "scdual"


class _LossKeys(NamedTuple):
    """Loss terms beside the ELBO; each has a `_train` and a `_validation` column in `history`."""

    REGULATION: str = "regulation_loss"
    SPARSITY: str = "edge_sparsity"
    PRIOR: str = "prior_disagreement"
    CLASSIFICATION: str = "classification_loss"


RESULT_KEYS = _ResultKeys()
LOSS_KEYS = _LossKeys()

ACTIVITY_KEY = "scdual_activity"  # where figures look for activities in obsm

EVIDENCE_KEYS = {"sd": RESULT_KEYS.SD, "support": RESULT_KEYS.SUPPORT}  # what stands beside the weights of edges

HISTORY_KEY = "history"  # in `uns["scdual"]`: the loss curves, one value per epoch

KEPT_KEY = "scdual_kept"  # in `var`: genes that `pp.select_genes` keeps although they vary little

ORIENTATION = "row = regulator, column = target"


_ENCODED = re.compile(r"[%/\\\x00-\x1f\x7f]")  # HDF5 and Zarr take slashes for folders; control characters are cut off


def regulation_key(group: str) -> str:
    """Return the key in ``varp`` of a group's network; what a file cannot hold in a key is written as in a URL, ``%2F``."""
    return f"{RESULT_KEYS.REGULATION}_{_ENCODED.sub(lambda found: f'%{ord(found[0]):02X}', group)}"


def evidence_key(key: str, name: str) -> str:
    """Return the key in ``varp`` of the ``sd`` or ``support`` of the network under a key, that of all cells or of a group."""
    return EVIDENCE_KEYS[name] + key.removeprefix(RESULT_KEYS.REGULATION)


def group_of(key: str) -> str | None:
    """Return the group whose network is under a key of ``varp``, or None if it is not that of a group."""
    prefix = f"{RESULT_KEYS.REGULATION}_"
    return unquote(key.removeprefix(prefix)) if key.startswith(prefix) else None
