"""Decide which genes may regulate: by organism and gene family, by name, or by a column of `var`.

The families are in `_tf_families.py`; nothing is downloaded and no list of genes is shipped.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Literal, cast, get_args

import numpy as np
import pandas as pd

from scdual._checks import check_choice, check_whole, did_you_mean, listed, shown
from scdual._types import Organism
from scdual._warning import warn
from scdual.data._tf_families import FAMILIES, HUMAN_FAMILIES, MOUSE_FAMILIES, NOT_HUMAN, NOT_MOUSE
from scdual.data._variable_genes import most_variable
from scdual.grn._names import is_ensembl, naming_advice, spelled_as

_WORDS = ("auto", *get_args(Organism))
_WORDS_OF = {"regulators": _WORDS, "keep": ("regulators", *get_args(Organism)), "exclude_targets": ()}  # by argument

SYMBOL_COLUMNS = (
    "gene_symbols",
    "gene_symbol",
    "gene_name",
    "gene_names",
    "feature_name",
    "symbol",
    "symbols",
    "hgnc_symbol",
    "mgi_symbol",
    "gene_short_name",
)

# Gene0001 and GENE12 are names of simulated genes, not symbols. One capital with digits (G1, X12) says nothing either.
_HUMAN_STYLE = re.compile(r"ENSG\d+.*|(?!GENE\d|ENS[A-Z]*G\d)[A-Z][A-Z0-9]*[A-Z][A-Z0-9.\-]*|C[0-9XY]+orf\d+")
_MOUSE_STYLE = re.compile(r"ENSMUSG\d+.*|(?!Gene\d)[A-Z][a-z][a-z0-9.\-]*|mt-[A-Z]\w*|\d+[A-Z]\d+Rik")
_WHAT = {"regulators": "regulators", "keep": "genes of `keep`", "exclude_targets": "genes of `exclude_targets`"}
_N_EXAMPLES = 5
N_UNKNOWN = 500
"""Genes that may regulate where no regulators are known: 200 lose most of a known network's edges, 2,000 take three times the
time; measured in the user guide on regulators."""


def guess_organism(gene_names: Iterable[str]) -> Organism | None:
    """Return the organism whose way of writing gene names fits, or None when it is unclear.

    Human symbols are in capitals (``GATA1``, ``MT-CO1``), mouse symbols are capitalised (``Gata1``, ``mt-Co1``), and
    Ensembl ids start with ``ENSG`` or ``ENSMUSG``. At least half of the names must look like either, and four in five
    of these must agree.

    Parameters
    ----------
    gene_names
        Gene symbols or Ensembl ids, ``(n_genes,)``.

    Notes
    -----
    Symbols of rat look like mouse and those of macaque or pig like human; the families are close enough to serve.
    """
    names = [str(name) for name in gene_names]
    n_human = sum(_HUMAN_STYLE.fullmatch(name) is not None for name in names)
    n_mouse = sum(_MOUSE_STYLE.fullmatch(name) is not None for name in names)
    n_either = n_human + n_mouse
    if n_either == 0 or 2 * n_either < len(names) or 5 * max(n_human, n_mouse) < 4 * n_either:
        return None
    return "human" if n_human > n_mouse else "mouse"


def transcription_factors(gene_names: Iterable[str], organism: Organism) -> np.ndarray:
    """Return which genes are transcription factors by the family of their symbol, bool ``(n_genes,)``.

    Parameters
    ----------
    gene_names
        Gene symbols in the spelling of the organism, ``(n_genes,)``.
    organism
        Human symbols are compared in capitals, mouse symbols capitalised; another spelling is not recognised.

    Raises
    ------
    ValueError
        If the organism is neither human nor mouse.
    """
    check_choice("organism", organism, get_args(Organism))
    is_factor = _is_human_factor if organism == "human" else _is_mouse_factor
    return np.array([is_factor(str(name)) for name in gene_names], dtype=bool)


def resolve_regulators(
    regulators: str | Sequence[str] | None,
    gene_names: Iterable[str],
    var: pd.DataFrame | None = None,
    *,
    minimum: int = 5,
    counts: Any = None,
) -> np.ndarray:
    """Return the positions of the genes that may regulate, sorted int64 ``(R,)``.

    Parameters
    ----------
    regulators
        ``"auto"`` guesses the organism and takes its transcription factors, or the genes that vary most (with a warning)
        when this fails. ``"human"`` and ``"mouse"`` take that organism's. A sequence names the regulators, another string names
        a boolean column of `var`, None takes every gene. The three words win over columns of the same name, with a
        warning.
    gene_names
        Names of all genes, ``(n_genes,)``. For Ensembl ids the symbols come from a column of `var`.
    var
        Table with one row per gene in the order of `gene_names`, such as ``adata.var``.
    minimum
        With ``"auto"``, fewer transcription factors than this do not count.
    counts
        Counts ``(n_cells, n_genes)``, in memory or on disk, which tell how much a gene varies; without them every gene is
        taken where the most variable would be.

    Raises
    ------
    ValueError
        If names are missing or repeated, no gene is selected, or `var` lacks the column.
    TypeError
        If the column is not boolean or the names are not strings.
    """
    names = [str(name) for name in gene_names]
    if var is not None and len(var) != len(names):
        msg = f"`var` has {len(var)} rows for {len(names)} gene names. Pass the table that belongs to these genes."
        raise ValueError(msg)
    check_whole("minimum", minimum, at_least=0)
    if regulators is None:
        return np.arange(len(names))
    if not isinstance(regulators, str):
        return _named_positions(regulators, names)
    if var is not None and regulators in _WORDS and pd.api.types.is_bool_dtype(var.get(regulators)):
        warn(
            f"`regulators={regulators!r}` means the transcription factors, not the column {regulators!r} of `var`. "
            "To take that column, rename it, or drop it if you do not need it."
        )
    if regulators in ("human", "mouse"):
        return _organism_positions(cast("Organism", regulators), names, var)
    if regulators != "auto":
        return _column_positions(regulators, var)
    positions, problem = _auto_positions(names, var, minimum)
    return positions if problem is None else _unknown_positions(names, counts, problem)


def kept_positions(
    keep: str | Sequence[str] | None, gene_names: Iterable[str], var: pd.DataFrame, *, is_seen: np.ndarray
) -> np.ndarray:
    """Return the positions of genes to keep beside those that vary, sorted int64; arguments of ``pp.select_genes``.

    Parameters
    ----------
    keep
        ``"regulators"``, or as in :func:`resolve_regulators`; None keeps none.
    gene_names, var
        As in :func:`resolve_regulators`.
    is_seen
        Genes that enough cells express, shape ``(n_genes,)``; others are no regulators of an organism.

    Raises
    ------
    ValueError, TypeError
        As :func:`resolve_regulators`.
    """
    names = [str(name) for name in gene_names]
    if keep is None:
        return np.arange(0)
    if not isinstance(keep, str):
        return _named_positions(keep, names, "keep")
    if keep not in _WORDS_OF["keep"]:
        return _column_positions(keep, var, "keep")
    if keep != "regulators":
        positions = _organism_positions(cast("Organism", keep), names, var, "keep")
        return positions[is_seen[positions]]
    positions, problem = _auto_positions(names, var, minimum=1)
    if problem is not None:
        warn(
            f"{problem}, so no regulator is kept beside the genes that vary most. Name those to keep: `keep=` takes "
            "'human', 'mouse', a list of gene names or a boolean column of `var`; `keep=None` keeps none."
        )
    return positions[is_seen[positions]]


def kept_targets(
    exclude_targets: str | Sequence[str] | None, gene_names: Iterable[str], var: pd.DataFrame | None
) -> np.ndarray | None:
    """Return which genes are targets, bool ``(n_genes,)``, or None if all are.

    Parameters
    ----------
    exclude_targets
        Names of genes that are not, or a boolean column of ``var``.
    gene_names, var
        As in :func:`resolve_regulators`.

    Raises
    ------
    ValueError, TypeError
        As :func:`resolve_regulators`, and if no target would be left.
    """
    if exclude_targets is None:
        return None
    names = [str(name) for name in gene_names]
    if isinstance(exclude_targets, str):
        positions = _column_positions(exclude_targets, var, "exclude_targets")
    else:
        positions = _named_positions(exclude_targets, names, "exclude_targets")
    if len(positions) == len(names):
        msg = f"`exclude_targets` names all {len(names)} genes, expected some targets to be left. Exclude fewer."
        raise ValueError(msg)
    return ~np.isin(np.arange(len(names)), positions)


def _unknown_positions(names: list[str], counts: Any, problem: str) -> np.ndarray:
    """Return the genes that vary most, or all where nothing tells them, with a warning that names the cure."""
    n_chosen = len(names) if counts is None else min(N_UNKNOWN, len(names))
    chosen = f"all {n_chosen} genes" if n_chosen == len(names) else f"the {n_chosen} genes that vary most"
    warn(
        f"{problem}; {chosen} are used as regulators. Name the regulators: pass `regulators='human'` or 'mouse', a list "
        "of gene names or a boolean `var` column, or `regulators=None` for every gene."
    )
    return np.arange(len(names)) if n_chosen == len(names) else most_variable(counts, n_chosen)


def _auto_positions(names: list[str], var: pd.DataFrame | None, minimum: int) -> tuple[np.ndarray, str | None]:
    """Return the transcription factors and None, or no positions and what stood in the way."""
    none = np.arange(0)
    organism = guess_organism(names)
    if organism is None:
        return none, f"The organism is unclear from the gene names, e.g. {names[:_N_EXAMPLES]}"
    symbols = symbols_among(names, var)
    if symbols is None:
        return none, f"The genes are Ensembl ids ({organism}) and `var` has no column of symbols such as 'gene_symbols'"
    positions = np.flatnonzero(transcription_factors(symbols, organism))
    if len(positions) < minimum:
        found = f"Only {len(positions)} {organism} transcription factors found among {len(names)} genes"
        return none, f"{found} (at least {minimum} expected)"
    return positions, None


def _organism_positions(
    organism: Organism, names: list[str], var: pd.DataFrame | None, argument: str = "regulators"
) -> np.ndarray:
    symbols = symbols_among(names, var)
    if symbols is None:
        msg = (
            f"The genes are Ensembl ids, e.g. {names[:_N_EXAMPLES]}, but `{argument}={organism!r}` needs symbols. "
            f"Add a `var` column of symbols named one of {list(SYMBOL_COLUMNS)}, or pass a list of gene names."
        )
        raise ValueError(msg)
    positions = np.flatnonzero(transcription_factors(symbols, organism))
    if len(positions) == 0:
        msg = (
            f"Found no {organism} transcription factor among {len(names)} genes, e.g. {symbols[:_N_EXAMPLES]}; expected "
            f"symbols written as {'GATA1' if organism == 'human' else 'Gata1'}. "
            "Pass the right organism, or a list of gene names."
        )
        raise ValueError(msg)
    return positions


def _named_positions(regulators: Iterable[str], names: list[str], argument: str = "regulators") -> np.ndarray:
    genes, what = pd.Index(names, dtype=str), _WHAT[argument]
    wanted = spelled_as(pd.Index(_wanted_names(regulators, argument), dtype=str), genes)
    missing = wanted[~wanted.isin(genes)]
    if len(missing):
        msg = (
            f"{len(missing)} of {len(wanted)} {what} are not among the gene names, e.g. "
            f"{listed(missing[:_N_EXAMPLES])}; the genes look like {names[:3]}. "
            f"{naming_advice(missing, genes)[:-1]}, or drop these {what}."
        )
        raise ValueError(msg)
    ambiguous = wanted[wanted.isin(genes[genes.duplicated()])]
    if len(ambiguous):
        msg = (
            f"{len(ambiguous)} {what} stand for several genes of the same name, e.g. "
            f"{listed(ambiguous[:_N_EXAMPLES])}; expected unique gene names. Call `adata.var_names_make_unique()` first."
        )
        raise ValueError(msg)
    repeated = wanted[wanted.duplicated()].unique()
    if len(repeated):
        msg = f"{len(repeated)} {what} are named more than once, e.g. {listed(repeated[:_N_EXAMPLES])}. Name each once."
        raise ValueError(msg)
    return np.flatnonzero(genes.isin(wanted)).astype(np.int64)


def _wanted_names(regulators: Iterable[str], argument: str) -> list[str]:
    """Return the names the user asked for, after checking their types."""
    if isinstance(regulators, pd.DataFrame | Mapping) or not isinstance(regulators, Iterable):
        msg = (
            f"`{argument}` is {shown(regulators)} of type {type(regulators).__name__}, expected "
            f"{', '.join([*map(repr, _WORDS_OF[argument]), 'a list of gene names'])}, the name of a boolean column of `var`, or "
            "None. Pass one of these."
        )
        raise TypeError(msg)
    wanted = list(regulators)
    strangers = [name for name in wanted if not isinstance(name, str)]
    if strangers:
        msg = (
            f"`{argument}` holds {shown(strangers[0])} of type {type(strangers[0]).__name__}, expected gene names (str). "
            "Drop missing names; put a boolean mask into a `var` column and pass the name of that column."
        )
        raise TypeError(msg)
    if not wanted:
        msg = f"`{argument}` is an empty list, expected at least one gene name. Name genes, or pass None."
        raise ValueError(msg)
    return wanted


def _column_positions(column: str, var: pd.DataFrame | None, argument: str = "regulators") -> np.ndarray:
    if var is None or column not in var.columns:
        available = [] if var is None else [str(name) for name in var.columns if pd.api.types.is_bool_dtype(var[name])]
        words = _WORDS_OF[argument]
        choices = " or ".join(filter(None, [", ".join(map(repr, words)), "a column of `var`"]))
        advice = did_you_mean(column, [*words, *available])
        msg = (
            f"`{argument}={column!r}` is not {choices}, whose boolean columns are "
            f"{listed(available)}. {advice or f'Name one of these, or pass gene names as a list, e.g. [{column!r}].'}"
        )
        raise ValueError(msg)
    values = var[column]
    if isinstance(values, pd.DataFrame):
        msg = f"`var` has {values.shape[1]} columns {column!r}, expected one. Rename or drop the others."
        raise ValueError(msg)
    if not pd.api.types.is_bool_dtype(values) or values.isna().any():
        msg = (
            f"`var[{column!r}]` is of type {values.dtype} with {int(values.isna().sum())} missing values, expected "
            "True or False for each gene. Convert the column to bool, or pass a list of gene names."
        )
        raise TypeError(msg)
    positions = np.flatnonzero(values.to_numpy(dtype=bool))
    if len(positions) == 0 and argument == "regulators":
        msg = f"`var[{column!r}]` is False for all {len(values)} genes, expected at least one regulator. Mark some."
        raise ValueError(msg)
    return positions


def symbols_among(names: list[str], var: pd.DataFrame | None) -> list[str] | None:
    """Return symbols, from `var` when the names are mostly Ensembl ids; None when it has no such column."""
    n_ensembl = sum(is_ensembl(name) for name in names)
    if 2 * n_ensembl <= len(names):
        return names
    columns = [] if var is None else [column for column in SYMBOL_COLUMNS if column in var.columns]
    if var is None or not columns:
        return None
    return ["" if pd.isna(symbol) else str(symbol) for symbol in var[columns[0]]]


def _is_human_factor(symbol: str) -> bool:
    if symbol in _excluded(NOT_HUMAN):
        return False
    return bool(_pattern("human").fullmatch(symbol) or _pattern("shared").fullmatch(symbol))


def _is_mouse_factor(symbol: str) -> bool:
    is_capitalised = symbol[1:] == symbol[1:].lower() and symbol[:1].isupper()
    if not is_capitalised or symbol.replace("Znf", "Zfp") in _excluded(NOT_MOUSE):
        return False
    return bool(_pattern("mouse").fullmatch(symbol) or _pattern("shared").fullmatch(symbol.upper()))


@cache
def _pattern(group: Literal["shared", "human", "mouse"]) -> re.Pattern[str]:
    """Return one regular expression for all families of a group."""
    families = {"shared": FAMILIES, "human": HUMAN_FAMILIES, "mouse": MOUSE_FAMILIES}[group]
    return re.compile("|".join(" ".join(families.values()).split()))


@cache
def _excluded(rules: str) -> frozenset[str]:
    """Return the symbols in the lines of `rules`, comments left out."""
    return frozenset(re.sub("#.*", "", rules).split())
