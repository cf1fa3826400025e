"""Give new data the genes of a reference, in its order.

Dimension key
    C  cells      G  genes of the reference
"""

import re
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from scdual._warning import warn
from scdual.data._fields import check_unique
from scdual.grn._names import naming_advice, without_version

_N_EXAMPLES = 3
_LOW_SHARE = 0.8  # of the genes of the reference, below which scvi-tools warns
_VERSION = re.compile(r"(ENS[A-Z]*G\d{11})\.\d+")


def with_genes_of(adata: AnnData, names: pd.Index) -> AnnData:
    """Return data with the genes of a reference; those that are missing count as not expressed.

    Ensembl ids match whatever their version, if it is clear which is meant. Warnings tell how many genes were matched
    so, and how many are missing.

    Parameters
    ----------
    adata
        New data. They are not changed.
    names
        Genes of the reference, ``(G,)``.

    Raises
    ------
    ValueError
        If there are no cells, genes repeat, none is shared, or most of many that are missing are there under names that
        differ in capitals or versions only.
    """
    if not adata.n_obs:
        msg = "The query has no cells; check how it was selected."
        raise ValueError(msg)
    found = names_as_in(adata.var_names, names)
    position = found.get_indexer(names)
    _report(names[position < 0], len(names), found)
    known = adata.var.set_axis(found)
    var = _rows_of_table(known, names).rename_axis(index=adata.var_names.name)
    raw = None if adata.raw is None else {"X": adata.raw.X, "var": adata.raw.var, "varm": dict(adata.raw.varm)}
    return AnnData(
        X=None if adata.X is None else _columns(adata.X, position),
        obs=adata.obs.copy(),
        var=var,
        uns=dict(adata.uns),
        obsm=dict(adata.obsm),
        obsp=dict(adata.obsp),
        varm={key: _rows(adata.varm[key], found, names) for key in adata.varm},
        varp={key: _pairs(adata.varp[key], position) for key in adata.varp},
        layers={key: _columns(adata.layers[key], position) for key in adata.layers if key is not None},
        raw=raw,
    )


def names_as_in(found: pd.Index, reference: pd.Index) -> pd.Index:
    """Return names of genes with the versions that Ensembl ids have in a reference.

    Parameters
    ----------
    found
        Names of genes of new data.
    reference
        Names of genes of the reference.

    Raises
    ------
    ValueError
        If names repeat.
    """
    check_unique(found)
    other = {_bare(name): name for name in reference.difference(found)}
    times = Counter(map(_bare, found)) + Counter(map(_bare, reference))
    clear = {name: other[_bare(name)] for name in found if _bare(name) in other and times[_bare(name)] == 2}
    if not clear:
        return found
    example = next(iter(clear))
    warn(f"{len(clear)} Ensembl ids were matched without their versions, e.g. {example} as {clear[example]}.")
    return pd.Index([clear.get(name, name) for name in found])


def _bare(name: str) -> str:
    match = _VERSION.fullmatch(str(name))
    return match.group(1) if match else name


def _columns(matrix: Any, position: np.ndarray) -> Any:
    """Return columns of a matrix, zeros where the position is -1."""
    if sparse.issparse(matrix):
        nothing = sparse.csr_matrix((matrix.shape[0], 1), dtype=matrix.dtype)
        return sparse.hstack([matrix, nothing], format="csr")[:, position]
    return np.concatenate([matrix, np.zeros((len(matrix), 1), matrix.dtype)], axis=1)[:, position]


def _rows_of_table(table: pd.DataFrame, names: pd.Index) -> pd.DataFrame:
    """Return the rows of genes; a gene that is missing has False in a column of truth values, and no value in others."""
    rows = table.reindex(names)
    for key in table.select_dtypes("bool"):
        rows[key] = table[key].reindex(names, fill_value=False)
    return rows


def _rows(values: Any, found: pd.Index, names: pd.Index) -> Any:
    """Return the rows of genes; one that is missing has NaN in arrays of floats and tables, and zero in others."""
    if isinstance(values, pd.DataFrame):
        return _rows_of_table(values.set_axis(found), names)
    position = found.get_indexer(names)
    if sparse.issparse(values):
        return _columns(values.T, position).T.tocsr()
    rows = np.take(values, np.maximum(position, 0), axis=0)
    if (position < 0).any():
        rows[position < 0] = np.nan if np.issubdtype(rows.dtype, np.inexact) else np.zeros((), rows.dtype)
    return rows


def _pairs(values: Any, position: np.ndarray) -> Any:
    """Return rows and columns of genes by genes, zeros for those that are missing."""
    pairs = _columns(_columns(values, position).T, position).T
    return pairs.tocsr() if sparse.issparse(pairs) else pairs


def _report(missing: pd.Index, n_genes: int, found: pd.Index) -> None:
    if not len(missing):
        return
    are_many = len(missing) > (1 - _LOW_SHARE) * n_genes
    advice = naming_advice(missing, found)
    if len(missing) == n_genes:
        msg = (
            f"None of the {n_genes} genes of the reference is in the query, e.g. {list(missing[:_N_EXAMPLES])}; genes "
            f"there look like {list(found[:_N_EXAMPLES])}. {advice}"
        )
        raise ValueError(msg)
    n_alike = _n_alike(missing, found)
    if are_many and n_alike > len(missing) / 2:
        msg = (
            f"{len(missing)} of {n_genes} genes of the reference are not in the query, but {n_alike} of them are there "
            f"under a similar name. {advice}"
        )
        raise ValueError(msg)
    poor = " With so many missing, the result may be poor." if are_many else ""
    poor += f" {advice}" if n_alike else ""
    warn(
        f"{len(missing)} of {n_genes} genes of the reference are not in the query and count as not expressed, "
        f"e.g. {list(missing[:_N_EXAMPLES])}.{poor}"
    )


def _n_alike(missing: pd.Index, found: pd.Index) -> int:
    """Return how many missing genes are there but for capitals, or for the version of an Ensembl id."""
    plain = [pd.Index([without_version(str(name)).lower() for name in names]) for names in (missing, found)]
    return int(plain[0].isin(plain[1]).sum())
