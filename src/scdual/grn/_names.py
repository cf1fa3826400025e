"""Names of genes: as text, unique, and where they are among others."""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from scdual._checks import listed, shown

_ENSEMBL_ID = re.compile(r"(ENS[A-Z]*G\d{6,})(\.\d+)?")


def as_names(names: Iterable[Any]) -> pd.Index:
    """Return names as text, in pandas' own type for text: ``str`` from pandas 3 on, ``object`` before.

    Parameters
    ----------
    names
        Names without missing ones, of any type; the number 7157, or 7157.0 where pandas made it so, becomes ``'7157'``.
    """
    code, distinct = pd.factorize(pd.Index(names))  # tables repeat their few names millions of times
    return pd.Index([_as_text(name) for name in distinct], dtype=str).take(code)


def unique_names(names: Iterable[Any], *, role: str) -> pd.Index:
    """Return names as text, as an index of its own.

    Raises
    ------
    TypeError
        If the names are a single text, or no names at all.
    ValueError
        If a name is missing or occurs twice.
    """
    if isinstance(names, str) or not isinstance(names, Iterable):
        msg = (
            f"`{role}` is {shown(names)} of type {type(names).__name__}, expected names. Pass a list such as ['GATA1']."
        )
        raise TypeError(msg)
    found = pd.Index(names if isinstance(names, pd.Index | np.ndarray) else list(names))
    if found.hasnans:
        msg = (
            f"{np.count_nonzero(found.isna())} of {len(found)} `{role}` have no name, expected none. Name or drop them."
        )
        raise ValueError(msg)
    index = as_names(found)
    if not index.is_unique:
        repeated = index[index.duplicated()].unique()
        msg = (
            f"{len(repeated)} names occur more than once in `{role}`: {listed(repeated)}; expected unique names. "
            "Drop the repeats, or call `adata.var_names_make_unique()` before fitting."
        )
        raise ValueError(msg)
    return index


def name_positions(names: pd.Index, index: pd.Index, *, role: str, where: str) -> np.ndarray:
    """Return the position of each name in a unique index.

    Raises
    ------
    ValueError
        If a name is not in the index.
    """
    position = index.get_indexer(names)
    missing = names[position < 0].unique()
    if len(missing):
        msg = (
            f"{len(missing)} of {names.nunique()} {role} are not in {where}: {listed(missing)}; "
            f"the names there look like {listed(index[:3])}. {naming_advice(missing, index)[:-1]}, or drop these genes."
        )
        raise ValueError(msg)
    return position


def self_pairs(regulators: pd.Index, targets: pd.Index) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and columns at which a gene meets itself."""
    column = targets.get_indexer(regulators)
    row = np.flatnonzero(column >= 0)
    return row, column[row]


def without_version(name: str) -> str:
    """Return ``ENSG00000102145`` for ``ENSG00000102145.14``; other names unchanged."""
    ensembl = _ENSEMBL_ID.fullmatch(name)
    return ensembl.group(1) if ensembl else name


def is_ensembl(name: str) -> bool:
    """Return whether the name begins as an Ensembl id of a gene."""
    return _ENSEMBL_ID.match(name) is not None


def spelled_as(names: pd.Index, genes: pd.Index) -> pd.Index:
    """Return the names as the genes spell them: blanks at the ends and versions of Ensembl ids do not count.

    A name that is no gene, or that could be several, stays as it is.

    Parameters
    ----------
    names
        Names as text.
    genes
        Names as text, unique.
    """
    plain = pd.Index([without_version(gene.strip()) for gene in genes], dtype=str)
    spelling = pd.Series(genes, index=plain)[~plain.duplicated(keep=False)]
    code, distinct = pd.factorize(names)
    is_gene = distinct.isin(genes)
    spelled = [
        name if known else spelling.get(without_version(name.strip()), name)
        for name, known in zip(distinct, is_gene, strict=True)
    ]
    return pd.Index(spelled, dtype=str).take(code)


def naming_advice(names: Iterable[str], genes: Iterable[str]) -> str:
    """Return what to do about names that are not among the genes; a full sentence."""
    genes, names = list(genes), list(names)
    versions: dict[str, list[str]] = {}
    for gene in genes:
        versions.setdefault(without_version(gene), []).append(gene)
    several = next((name for name in names if len(versions.get(without_version(name), [])) > 1), None)
    if several is not None:
        return f"{shown(several)} could be each of {listed(versions[without_version(several)])}: give the version you mean."
    spelling = {gene.lower(): gene for gene in genes}
    differing = next((name for name in names if spelling.get(name.lower(), name) != name), None)
    if differing is None:
        return "Use the same identifiers (symbols or Ensembl) in both."
    pair = f"{shown(differing)} and {shown(spelling[differing.lower()])}"
    return f"{pair} differ in capitals only, as symbols of mouse and human do: use the same organism in both."


def _as_text(name: Any) -> str:
    is_whole = isinstance(name, float | np.floating) and float(name).is_integer()
    return str(int(name)) if is_whole else str(name)
