"""What the columns of an edge table say: which gene acts on which, how strongly, and whether up or down.

The names of columns are those of decoupler 1 and 2, CellOracle, DoRothEA, OmniPath and CollecTRI, TRRUST, BEELINE and
GRNBoost2 or pySCENIC; capitals do not count.

Dimension key
    E  edges of the table
"""

from typing import Any

import numpy as np
import pandas as pd

from scdual._checks import listed
from scdual._warning import warn
from scdual.grn._evidence import EVIDENCE_RANGE

_GENE_SYMBOLS = ("source_genesymbol", "target_genesymbol")  # OmniPath has UniProt ids in `source` and `target`
_SOURCES = ("source", "tf", "regulator", "gene1")
_TARGETS = ("target", "gene", "target_gene", "gene2")
_SIGNED_WEIGHTS = ("weight", "coef_mean")
_STRENGTHS = ("strength", "importance", "likelihood")  # never negative: they say nothing about the sign
_SIGNS = ("sign", "mor")
_SIGNS_IF_ALL_ARE = ("effect", "regulation", "mode_of_regulation")
_SIGNS_IF_IN_WORDS = ("mode", "type", "interaction")  # as numbers they are signs only if some are negative
_OMNIPATH_SIGNS = (("is_stimulation", "is_inhibition"), ("consensus_stimulation", "consensus_inhibition"))
_UNDERSTOOD = {
    *(*_GENE_SYMBOLS, *_SOURCES, *_TARGETS, *_SIGNED_WEIGHTS, *_STRENGTHS, *_SIGNS, *_SIGNS_IF_ALL_ARE),
    *(*_SIGNS_IF_IN_WORDS, *_OMNIPATH_SIGNS[0], *_OMNIPATH_SIGNS[1], *EVIDENCE_RANGE),
}
_WORDS = {
    1: "activation activates activating activator activate stimulation positive up + +1 1 1.0",
    -1: "repression represses repressing repressor repress inhibition negative down - -1 -1.0",
    0: "unknown 0 0.0 ?",
}
_N_EXAMPLES = 3
_SIGN_OF_WORD = {word: sign for sign, words in _WORDS.items() for word in words.split()} | {"": 0}


class EdgeColumns:
    """Read names, signs and strengths from the columns of one table.

    Parameters
    ----------
    frame
        The table, ``E`` rows.
    role
        What the table is, for messages.

    Raises
    ------
    ValueError
        If no column names the sources or the targets, or two columns have the same name.
    """

    def __init__(self, frame: pd.DataFrame, role: str) -> None:
        self.frame, self.role = frame, role
        names = pd.Index([str(column).strip().lower() for column in frame.columns])
        self._column = dict(zip(names, frame.columns, strict=True))
        repeated = frame.columns[names.duplicated(keep=False) & names.isin(_UNDERSTOOD)]
        if len(repeated):
            msg = f"The {role} has several columns of the same name: {listed(repeated)}. Rename or drop all but one."
            raise ValueError(msg)
        by_symbol = all(column in self._column for column in _GENE_SYMBOLS)
        source = _GENE_SYMBOLS[0] if by_symbol else self._first(_SOURCES)
        target = _GENE_SYMBOLS[1] if by_symbol else self._first(_TARGETS)
        if source is None or target is None:
            lacking = [name for name, found in (("source", source), ("target", target)) if found is None]
            msg = (
                f"The {role} has the columns {listed(frame.columns)}, expected 'source', 'target' and, if known, 'weight' "
                f"or 'sign'; {lacking} missing. Rename or add them: source is the regulator, target the gene it acts on; "
                "a file needs a line of column names."
            )
            raise ValueError(msg)
        self.source, self.target = self._values(source), self._values(target)

    def strength(self) -> np.ndarray:
        """Return the absolute weight of each edge, ``(E,)``; 1 if the table has none, nan where it is missing."""
        column = self._first(_SIGNED_WEIGHTS)
        if column is not None:
            return np.abs(self._numbers(column))
        column = self._first(_STRENGTHS)
        strength = np.ones(len(self.frame)) if column is None else self._numbers(column)
        what = f"a negative value in the column `{column}`"
        self._refuse(strength < 0, what, "expected sizes. Call a signed column 'weight'.")
        if "mor" in self._column:  # decoupler 1: weight = mor * likelihood
            size = np.abs(self._numbers("mor"))
            strength = strength * np.where(size > 0, size, 1.0)
        return strength

    def sign(self) -> np.ndarray:
        """Return 1 where an edge activates, -1 where it represses and 0 where this is unknown, int8 ``(E,)``.

        Weights say it as well; if they are all positive and no other column says it, every edge activates.

        Raises
        ------
        ValueError
            If two columns contradict each other.
        """
        columns = (*_SIGNS, *_SIGNS_IF_ALL_ARE, *_SIGNS_IF_IN_WORDS)
        found = {column: self._column_sign(column) for column in columns} | {"is_stimulation": self._stimulation()}
        known = {column: sign for column, sign in found.items() if sign is not None}
        weight_column = self._first(_SIGNED_WEIGHTS)
        weight = None if weight_column is None else np.nan_to_num(np.sign(self._numbers(weight_column)))
        if weight is not None and weight_column is not None and (weight < 0).any():
            known[weight_column] = weight
        elif not known:
            self._warn_of_unread_signs()
            return np.zeros(len(self.frame), dtype=np.int8) if weight is None else weight.astype(np.int8)
        return self._agreed(known)

    def evidence(self) -> dict[str, np.ndarray]:
        """Return ``sd, support`` and, where there, ``q_value, n_cells``, ``(E,)``; nothing unless both first are there.

        Raises
        ------
        ValueError
            If a value is missing, or out of its range.
        """
        if not {"sd", "support"} <= self._column.keys():
            return {}
        return {name: self._in_range(name) for name in EVIDENCE_RANGE if name in self._column}

    def _in_range(self, column: str) -> np.ndarray:
        numbers, (low, high) = self._numbers(column), EVIDENCE_RANGE[column]
        is_count = column == "n_cells"
        expected = "whole numbers of at least 0" if is_count else f"numbers between {low:g} and {high:g}"
        is_wrong = ~((numbers >= low) & (numbers <= high)) | (is_count & (numbers % 1 != 0))
        what = f"another value in the column `{column}` than it can have"
        self._refuse(is_wrong, what, f"expected {expected}. Correct these edges, or rename or drop the column.")
        return numbers.astype(np.int64) if is_count else numbers

    def _agreed(self, known: dict[str, np.ndarray]) -> np.ndarray:
        """Return the first sign that is not 0 of each edge."""
        agreed, first = np.zeros(len(self.frame)), next(iter(known))
        for column, sign in known.items():
            what = f"another sign in the column `{column}` than in `{first}`"
            self._refuse(agreed * sign < 0, what, "expected one sign. Drop the column that is wrong.")
            agreed = np.where(agreed == 0, sign, agreed)
        return agreed.astype(np.int8)

    def _column_sign(self, column: str) -> np.ndarray | None:
        """Return what one column says, or None if the table lacks it or it holds something else."""
        if column not in self._column:
            return None
        if column == "mor":
            return np.nan_to_num(np.sign(self._numbers(column)))
        values = self._values(column)
        sign = _signs(values)
        if sign is None and column == "sign":
            msg = (
                f"The column `sign` of the {self.role} has values like {listed(values.dropna().astype(str).unique()[:5])}, "
                "expected -1, 0 and 1 or words such as 'Activation' and 'Repression'. Call a column of signed numbers 'weight'."
            )
            raise ValueError(msg)
        is_code = column in _SIGNS_IF_IN_WORDS and pd.api.types.is_numeric_dtype(values)
        return None if sign is not None and is_code and (sign >= 0).all() else sign

    def _stimulation(self) -> np.ndarray | None:
        """Return the signs of OmniPath: stimulation or inhibition, and of those that are both, the consensus."""
        signs = [
            _flags(self._values(up)).astype(int) - _flags(self._values(down))
            for up, down in _OMNIPATH_SIGNS
            if up in self._column and down in self._column
        ]
        return None if not signs else np.where(signs[0] == 0, signs[-1], signs[0])

    def _warn_of_unread_signs(self) -> None:
        """Warn of columns that may carry the sign under a name that is not understood."""
        unread = [column for column in self.frame.columns if _may_be_signs(self.frame[column])]
        if unread:
            found = "all edges are taken as activating" if self._first(_SIGNED_WEIGHTS) else "the signs are unknown"
            warn(
                f"The columns {listed(unread)} of the {self.role} hold negative and positive values and are not read: "
                f"{found}. Call the one that says whether an edge activates or represses 'sign', or drop them."
            )

    def _numbers(self, column: str) -> np.ndarray:
        """Return a column as finite numbers, nan where missing, ``(E,)``."""
        values = self._values(column)
        if not pd.api.types.is_numeric_dtype(values):
            values = values.astype(object)
        is_complex = np.full(len(values), pd.api.types.is_complex_dtype(values))
        self._refuse(is_complex, f"a complex number in the column `{column}`", "expected real ones.")
        numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        is_text = np.isnan(numbers) & values.notna().to_numpy()
        what = f"no number in the column `{column}`, such as {listed(values[is_text].unique()[:3])}"
        self._refuse(is_text, what, "expected numbers. Convert the column.")
        what = f"a value in the column `{column}` that is not finite"
        self._refuse(np.isinf(numbers), what, "expected numbers. Drop or correct these edges.")
        return numbers

    def _values(self, column: str) -> pd.Series:
        return self.frame[self._column[column]]

    def _first(self, columns: tuple[str, ...]) -> str | None:
        return next((column for column in columns if column in self._column), None)

    def _refuse(self, is_wrong: np.ndarray, what: str, advice: str) -> None:
        refuse_edges(self.source, self.target, is_wrong, what=what, role=self.role, advice=advice)


def refuse_edges(source: Any, target: Any, is_wrong: np.ndarray, *, what: str, role: str, advice: str) -> None:
    """Raise ``ValueError`` if some edges of a table have what they should not have.

    Parameters
    ----------
    source, target
        Names, ``(E,)``.
    is_wrong
        True for these edges, ``(E,)``.
    what
        What they have.
    role
        What the table is.
    advice
        What was expected, and what to do.
    """
    if not is_wrong.any():
        return
    some = np.flatnonzero(is_wrong)[:_N_EXAMPLES]
    pairs = [f"{a} -> {b}" for a, b in zip(np.asarray(source)[some], np.asarray(target)[some], strict=True)]
    msg = f"{np.count_nonzero(is_wrong)} of {len(is_wrong)} edges of the {role} have {what}, e.g. {pairs}; {advice}"
    raise ValueError(msg)


def _signs(values: pd.Series) -> np.ndarray | None:
    """Return -1, 0 or 1 for each value, 0 where it is missing; None if a value says something else."""
    if not values.map(pd.api.types.is_hashable).all():
        return None
    code, distinct = pd.factorize(values)
    signs = [_SIGN_OF_WORD.get(str(value).strip().lower()) for value in distinct]
    return None if None in signs else np.array([*signs, 0], dtype=np.int8)[code]


def _flags(values: pd.Series) -> np.ndarray:
    return values.astype(str).str.strip().str.lower().isin(("true", "1", "1.0")).to_numpy()


def _may_be_signs(values: pd.Series) -> bool:
    if pd.api.types.is_bool_dtype(values) or not pd.api.types.is_numeric_dtype(values):
        sign = _signs(values)
        return sign is not None and {-1, 1} <= set(sign)
    return bool((values < 0).any() and (values > 0).any())
