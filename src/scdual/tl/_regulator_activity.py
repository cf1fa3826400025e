r"""Score how active each regulator is in each cell.

Dimension key
    C  cells      G  genes      R  regulators
"""

import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from scipy.sparse import csr_matrix

from scdual._checks import check_key, check_type, check_whole, listed
from scdual._constants import RESULT_KEYS
from scdual.data._rows import read_rows
from scdual.grn import RegulatoryNetwork
from scdual.grn._names import naming_advice, unique_names
from scdual.tl._as_network import as_network

_ROUNDING = 2.2e-16  # as decoupler has it, so that a perfect line has a t value


def regulator_activity(
    adata: AnnData,
    network: RegulatoryNetwork | pd.DataFrame,
    *,
    layer: str | None = None,
    min_targets: int = 5,
    key_added: str | None = None,
) -> pd.DataFrame:
    r"""Return the activity of each regulator in each cell, read off the expression of its targets.

    In each cell a straight line is drawn through the genes, from their weight to their expression, one line per regulator.
    The activity is the t value of the slope, which is the univariate linear model of decoupler :cite:p:`BadiaiMompel22`,

    .. math:: x_{cg} = \alpha_{cr} + \beta_{cr} w_{rg} + \varepsilon_{cg}, \qquad
        a_{cr} = \hat\beta_{cr} / \mathrm{SE}(\hat\beta_{cr})

    with expression x of cell c and gene g, and weight w of regulator r on gene g, 0 where there is no edge. Above zero
    the activated targets are high and the repressed ones low in this cell; below zero the reverse; near zero the
    targets say nothing.

    Parameters
    ----------
    adata
        The cells; only ``key_added`` changes it. Counts are normalised by their sum and logged first, as by the defaults of
        :func:`scanpy.pp.normalize_total` and :func:`scanpy.pp.log1p`; other values are taken as they are.
    network
        The network, or its table ``source, target, weight``. Prune a map of all pairs first: ``network.top(2000)``.
    layer
        Layer with the expression; None takes ``X``.
    min_targets
        Regulators with fewer targets among the genes of ``adata`` get no activity.
    key_added
        Key of ``adata.obsm`` to write the table to, such as ``"scdual_activity"``, where the figures look for it; None
        writes nothing.

    Returns
    -------
    Table of cells by regulators, shape ``(C, R)``. Cells without any
    expression have nan.

    Raises
    ------
    KeyError
        If ``adata`` lacks the layer.
    TypeError
        If ``adata`` is no AnnData, ``network`` is neither a network nor a table, or another argument of the wrong type.
    ValueError
        If no regulator has enough targets among the genes, or values are not finite.

    Notes
    -----
    The activity sums up the cells it is computed from. With a network learnt on the same cells it is no independent
    evidence for that network.
    """
    check_type("adata", adata, AnnData)
    check_type("layer", layer, str, optional=True)
    check_key("key_added", key_added, taken=RESULT_KEYS)
    check_whole("min_targets", min_targets, at_least=1)
    network = as_network(network)
    expression = _expression(adata, layer)  # cells and genes that have any
    edges = _usable_edges(network.to_frame(), expression.var_names, min_targets)
    scored = network.regulators[network.regulators.isin(edges["source"])]
    weight = _weights(edges, scored, expression.var_names)
    activity = pd.DataFrame(np.nan, index=adata.obs_names, columns=scored)  # (C, R)
    activity.iloc[expression.obs_names.astype(int)] = _t_values(_log_normalised(expression).X, weight)
    if key_added is not None:
        adata.obsm[key_added] = activity
    return activity


def _expression(adata: AnnData, layer: str | None) -> AnnData:
    """Return a copy of the values without empty cells and empty genes."""
    if layer is not None and layer not in adata.layers:
        layers = [name for name in adata.layers if name is not None]  # anndata 0.13 lists X as the layer None
        msg = f"Layer {layer!r} is not in `adata.layers`, which holds {layers}; name one of those."
        raise KeyError(msg)
    if layer is None and adata.X is None:
        msg = "`adata` has no `X`, expected expression. Pass `layer=` with the name of a layer that holds it."
        raise ValueError(msg)
    found = read_rows(adata.X if layer is None else adata.layers[layer], slice(None))  # of files on disk, too
    values = csr_matrix(found, dtype=np.float64, copy=True)  # (C, G)
    n_bad = values.nnz - np.count_nonzero(np.isfinite(values.data))
    if n_bad:
        msg = f"{n_bad} values are NaN or infinite, expected numbers. Remove or refill them."
        raise ValueError(msg)
    values.eliminate_zeros()
    cell = np.flatnonzero(values.getnnz(axis=1))
    gene = np.flatnonzero(values.getnnz(axis=0))
    genes = unique_names(adata.var_names, role="adata.var_names")
    obs, var = pd.DataFrame(index=cell.astype(str)), pd.DataFrame(index=genes[gene])
    return AnnData(values[cell][:, gene], obs=obs, var=var)


def _usable_edges(edges: pd.DataFrame, genes: pd.Index, min_targets: int) -> pd.DataFrame:
    """Return the edges of regulators that have enough targets among the genes."""
    if edges.empty:
        msg = "The network has no edges, so its regulators have no targets. Keep more edges, e.g. with a lower `min_support`."
        raise ValueError(msg)
    shared = edges[edges["target"].isin(genes)]
    n_targets = shared["source"].value_counts()
    usable = n_targets.index[n_targets >= min_targets]
    if usable.empty:
        msg = (
            f"No regulator has {min_targets} targets among the {len(genes)} genes with expression, expected one or "
            f"more; {shared['target'].nunique()} of {edges['target'].nunique()} targets are there, at most "
            f"{n_targets.max() if len(n_targets) else 0} of one regulator. The targets look like "
            f"{listed(edges['target'].unique()[:3])}, the genes like {listed(genes[:3])}. "
            f"{naming_advice(edges['target'].unique(), genes)[:-1]}, keep more edges, or lower `min_targets`."
        )
        raise ValueError(msg)
    return shared[shared["source"].isin(usable)]


def _log_normalised(expression: AnnData) -> AnnData:
    """Return the values, after normalising and logging them in place if they are counts."""
    value = expression.X.data
    if (value >= 0).all() and (value % 1 == 0).all():
        sc.pp.normalize_total(expression)
        sc.pp.log1p(expression)
    return expression


def _weights(edges: pd.DataFrame, regulators: pd.Index, genes: pd.Index) -> np.ndarray:
    """Return the weights of all genes, 0 where there is no edge, shape ``(G, R)``."""
    weight = np.zeros((len(genes), len(regulators)))
    weight[genes.get_indexer(edges["target"]), regulators.get_indexer(edges["source"])] = edges["weight"]
    return weight


def _t_values(expression: csr_matrix, weight: np.ndarray) -> np.ndarray:
    """Return t values of slopes, shape ``(C, R)``, of expression ``(C, G)`` on weights ``(G, R)``."""
    n_genes = len(weight)
    centred = weight - weight.mean(axis=0)
    mean = np.asarray(expression.mean(axis=1))  # (C, 1)
    variance = np.asarray(expression.multiply(expression).mean(axis=1)) - mean**2
    std = np.sqrt(np.maximum(variance, 0) * (centred**2).mean(axis=0))  # (C, R)
    with np.errstate(invalid="ignore"):  # a cell whose genes are all equal has no slope
        r = np.clip((expression @ centred) / n_genes / std, -1, 1)
    return r * np.sqrt((n_genes - 2) / ((1 - r + _ROUNDING) * (1 + r + _ROUNDING)))
