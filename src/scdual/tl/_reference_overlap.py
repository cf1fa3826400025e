r"""Ask how many of the strongest edges a reference network knows.

The pairs that could be found are those of :func:`scdual.grn.score_network`.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import fisher_exact

from scdual._checks import check_whole
from scdual.grn import NetworkScores, RegulatoryNetwork, score_network
from scdual.grn._edges import EdgeTable
from scdual.grn._network import check_network
from scdual.grn._scores import reference_edges, shared_part


@dataclass(frozen=True)
class ReferenceOverlap:
    """Hold how the strongest edges of a network agree with a reference network.

    Parameters
    ----------
    n_top
        Number of strongest edges looked at.
    n_found
        Number of them that are in the reference.
    n_expected
        Number that a random choice would find on average.
    odds_ratio
        Odds of a strong edge to be in the reference over those of the other candidates; random is 1.
    p_value
        Chance that a random choice finds as many or more (Fisher's exact test, one-sided).
    n_signed
        Number of found edges whose sign the reference knows.
    sign_agreement
        Share of these with the right sign; nan if there is none. Compare with ``scores.sign_majority``.
    scores
        Scores of the whole network on all candidates.
    """

    n_top: int
    n_found: int
    n_expected: float
    odds_ratio: float
    p_value: float
    n_signed: int
    sign_agreement: float
    scores: NetworkScores


def reference_overlap(network: RegulatoryNetwork, reference: EdgeTable, *, top: int = 1000) -> ReferenceOverlap:
    r"""Return how many of the strongest edges are in a reference network, and whether their signs agree.

    Candidates are the pairs of :func:`scdual.grn.score_network`: sources and genes that network and reference share.
    With :math:`N` candidates, :math:`K` of them in the reference, the number :math:`X` found by a random choice of
    :math:`n` candidates is hypergeometric,

    .. math:: p = P(X \ge x) = \sum_{i \ge x} \binom{K}{i} \binom{N - K}{n - i} \Big/ \binom{N}{n}

    Parameters
    ----------
    network
        The network.
    reference
        Known edges: a table as :func:`scdual.grn.score_network` takes it.
    top
        Number of strongest candidates to look at; fewer if the network has fewer edges.

    Raises
    ------
    TypeError
        If ``network`` is no network, ``reference`` no table, or ``top`` no whole number.
    ValueError
        If ``top`` is below 1, the reference lacks a column, nothing is shared, or no or all candidates are known edges.

    Notes
    -----
    Edges of one regulator stand or fall together, so the p value is too small; trust the odds ratio more. A network
    that was trained with this reference as its prior finds what it was told.
    """
    check_whole("top", top, at_least=1)
    known = reference_edges(reference, check_network(network))
    scores = score_network(network, known)
    strongest = shared_part(network, known).to_frame(top)
    found = _found_edges(strongest, known)
    signed = found[found["sign"] != 0]
    test = fisher_exact(_counts(len(strongest), len(found), scores), alternative="greater")
    agrees = np.sign(signed["weight"]) == signed["sign"]
    return ReferenceOverlap(
        n_top=len(strongest),
        n_found=len(found),
        n_expected=len(strongest) * scores.n_edges / scores.n_candidates,
        odds_ratio=float(test.statistic),
        p_value=float(test.pvalue),
        n_signed=len(signed),
        sign_agreement=float(agrees.mean()) if len(signed) else float("nan"),
        scores=scores,
    )


def _found_edges(strongest: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Return the strongest edges that are known, with sign 0 where it is unknown or both."""
    pairs = (
        known.drop_duplicates(["source", "target", "sign"]).groupby(["source", "target"], as_index=False)["sign"].sum()
    )
    return strongest.merge(pairs, on=["source", "target"])


def _counts(n_top: int, n_found: int, scores: NetworkScores) -> np.ndarray:
    """Return the candidates by being strong (rows) and being in the reference (columns), ``(2, 2)``."""
    n_other = scores.n_candidates - n_top
    n_missed = scores.n_edges - n_found
    return np.array([[n_found, n_top - n_found], [n_missed, n_other - n_missed]])
