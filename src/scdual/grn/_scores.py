r"""Score a network against a reference network.

The array functions take one value per candidate edge, in arrays of any equal shape. ``strength`` is the absolute
weight, ``truth`` says whether the reference holds the edge. Ties are never broken by the order of the candidates:
each score is its expectation over uniformly random orders within the ties.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from scdual._checks import check_names, listed, shown
from scdual.grn._auroc_within import auroc_within
from scdual.grn._edges import EdgeTable, check_strengths, read_edges, spell_edges
from scdual.grn._names import naming_advice, self_pairs
from scdual.grn._network import RegulatoryNetwork, check_network
from scdual.grn._pair_values import as_numbers


@dataclass(frozen=True)
class NetworkScores:
    """Hold the scores of one network; the sign scores are nan when they cannot be computed.

    Parameters
    ----------
    epr
        Early precision ratio; random is 1.
    auprc_ratio
        Average precision over the density of true edges; random is about 1.
    auroc
        Area under the receiver operating characteristic; random is 0.5.
    sign_accuracy
        Share of signed true edges with the right sign; compare with ``sign_majority``.
    balanced_sign_accuracy
        Mean of that share over activating and repressing edges; random is 0.5.
    sign_majority
        Share of the commoner sign.
    n_edges
        Number of true edges among the candidates.
    n_candidates
        Number of candidate pairs.
    auroc_within_regulator
        Mean over regulators with true and false edges of the area among their targets; random is 0.5.
    auroc_within_target
        Mean over targets with true and false edges of the area among their regulators; random is 0.5.
    """

    epr: float
    auprc_ratio: float
    auroc: float
    sign_accuracy: float
    balanced_sign_accuracy: float
    sign_majority: float
    n_edges: int
    n_candidates: int
    auroc_within_regulator: float
    auroc_within_target: float


def early_precision_ratio(strength: np.ndarray, truth: np.ndarray) -> float:
    r"""Return the precision among the :math:`k` strongest candidates over that of a random order.

    .. math:: \mathrm{EPR} = \frac{\mathrm{hits}_k / k}{k / n}

    Here :math:`k` is the number of true edges and :math:`n` that of candidates :cite:p:`Pratapa20`.
    Unlike there, ties at the cut do not widen the selection: they count with their share of true edges.

    Parameters
    ----------
    strength
        Non-negative strengths.
    truth
        True (or 1) for candidates in the reference.

    Raises
    ------
    ValueError
        If the arrays do not fit, or no or all candidates are true.
    """
    strength, truth = _checked(strength, truth)
    ties = _tie_blocks(strength, truth)
    n_selected = int(truth.sum())
    cut = np.searchsorted(ties.n_before, n_selected) - 1  # the block that holds rank k
    share = (n_selected - ties.n_before[cut]) / ties.size[cut]
    n_hits = ties.n_true_before[cut] + share * ties.n_true[cut]
    return float(n_hits / n_selected / (n_selected / len(truth)))


def auprc_ratio(strength: np.ndarray, truth: np.ndarray) -> float:
    r"""Return the expected average precision over the density of true edges.

    A block of :math:`m` tied candidates with :math:`p` true edges follows :math:`n` stronger candidates with
    :math:`s` true edges. Its :math:`i`-th place holds a true edge with probability :math:`p / m`, and then on average
    :math:`(i - 1) q` of the places before it in the block do, with :math:`q = (p - 1) / (m - 1)`. Over random orders
    within the blocks the average precision is therefore exactly

    .. math::
        \frac{1}{P} \sum_\mathrm{blocks} \frac{p}{m} \sum_{i=1}^{m} \frac{s + 1 + (i - 1) q}{n + i}
        = \frac{1}{P} \sum_\mathrm{blocks} \frac{p}{m}
          \left[ q m + \left( s + 1 - q (n + 1) \right) \sum_{i=1}^{m} \frac{1}{n + i} \right]

    where :math:`P` is the number of true edges. Without ties this is :func:`sklearn.metrics.average_precision_score`.
    Divided by the density :cite:p:`Pratapa20`, a random order of many candidates scores about 1.

    Parameters
    ----------
    strength
        Non-negative strengths.
    truth
        True (or 1) for candidates in the reference.

    Raises
    ------
    ValueError
        If the arrays do not fit, or no or all candidates are true.
    """
    strength, truth = _checked(strength, truth)
    size, n_true, n_before, n_true_before = _tie_blocks(strength, truth)
    inverse_rank = np.add.reduceat(1.0 / np.arange(1, len(truth) + 1), n_before)
    slope = (n_true - 1) / np.maximum(size - 1, 1)  # of no effect where size is 1
    precision = slope * size + (n_true_before + 1 - slope * (n_before + 1)) * inverse_rank
    average_precision = np.sum(n_true / size * precision) / truth.sum()
    return float(average_precision / truth.mean())


def auroc(strength: np.ndarray, truth: np.ndarray) -> float:
    """Return the chance that a true edge is stronger than a false one, a tie counting half.

    Parameters
    ----------
    strength
        Non-negative strengths.
    truth
        True (or 1) for candidates in the reference.

    Raises
    ------
    ValueError
        If the arrays do not fit, or no or all candidates are true.
    """
    strength, truth = _checked(strength, truth)
    size, n_true, n_before, n_true_before = _tie_blocks(strength, truth)
    n_false = size - n_true
    n_weaker = n_false.sum() - (n_before - n_true_before) - n_false  # false edges below each block
    twice_won = int(np.sum(n_true * (2 * n_weaker + n_false)))  # whole numbers, so that no order changes a digit
    return twice_won / (2 * int(n_true.sum()) * int(n_false.sum()))


def sign_accuracy(weight: np.ndarray, sign: np.ndarray) -> float:
    """Return the share of signed true edges whose weight has the right sign; weight 0 counts half.

    Parameters
    ----------
    weight
        Predicted signed weights.
    sign
        Sign in the reference: 1 activates, -1 represses, 0 is not a signed edge and is left out.

    Raises
    ------
    ValueError
        If the arrays do not fit, or there is no signed edge.
    """
    return float(_sign_agreement(weight, sign).agreement.mean())


def balanced_sign_accuracy(weight: np.ndarray, sign: np.ndarray) -> float:
    """Return the mean of the sign accuracies of activating and of repressing edges; nan if one kind is absent.

    Parameters
    ----------
    weight
        Predicted signed weights.
    sign
        Sign in the reference: 1 activates, -1 represses, 0 is not a signed edge and is left out.

    Raises
    ------
    ValueError
        If the arrays do not fit, or there is no signed edge.
    """
    agreement, sign = _sign_agreement(weight, sign)
    activates = sign > 0
    if activates.all() or not activates.any():
        return float("nan")
    return float((agreement[activates].mean() + agreement[~activates].mean()) / 2)


def sign_majority(sign: np.ndarray) -> float:
    """Return the share of the commoner sign, the accuracy of always guessing it.

    Parameters
    ----------
    sign
        Sign in the reference: 1 activates, -1 represses, 0 is not a signed edge and is left out.

    Raises
    ------
    ValueError
        If there is no signed edge.
    """
    share_activating = float((_signed(sign) > 0).mean())
    return max(share_activating, 1 - share_activating)


def score_network(
    network: RegulatoryNetwork, reference: EdgeTable, *, regulators: Iterable[str] | None = None
) -> NetworkScores:
    """Return the scores of a network against a reference network.

    Candidates are all pairs of a source of the reference that is a regulator of the network with a gene of the
    reference (source or target) that is a target of the network, except a gene with itself. All other pairs, true
    or predicted, are left out, as in BEELINE with regulator edges :cite:p:`Pratapa20`.

    Parameters
    ----------
    network
        The predicted network.
    reference
        Known edges: a table ``source, target`` with, if known, ``sign`` (-1, 0 or missing, 1) or ``weight``, whose sign
        counts, or with the columns of another tool; see the user guide. It may be the path of a CSV or TSV file.
        Repeated rows count once; a pair with both signs counts as unsigned. Self edges are ignored. Ensembl ids match
        without their version, with a warning.
    regulators
        Take only these sources; names that are not candidates have no effect.

    Raises
    ------
    TypeError
        If ``network`` is no network or ``reference`` no table.
    ValueError
        If a column is missing, no gene is shared, or no or all candidates are true.
    """
    chosen = None if regulators is None else pd.Index(check_names("regulators", regulators), dtype=str)
    edges = reference_edges(reference, check_network(network))
    weight, truth, sign, regulator, target = _candidates(network, edges, chosen)
    has_sign = bool((sign != 0).any())
    return NetworkScores(
        epr=early_precision_ratio(np.abs(weight), truth),
        auprc_ratio=auprc_ratio(np.abs(weight), truth),
        auroc=auroc(np.abs(weight), truth),
        sign_accuracy=sign_accuracy(weight, sign) if has_sign else float("nan"),
        balanced_sign_accuracy=balanced_sign_accuracy(weight, sign) if has_sign else float("nan"),
        sign_majority=sign_majority(sign) if has_sign else float("nan"),
        n_edges=int(truth.sum()),
        n_candidates=len(truth),
        auroc_within_regulator=auroc_within(np.abs(weight), truth, regulator),
        auroc_within_target=auroc_within(np.abs(weight), truth, target),
    )


class _TieBlocks(NamedTuple):
    """Runs of equal strength, the strongest first; one entry per run."""

    size: np.ndarray
    n_true: np.ndarray
    n_before: np.ndarray
    n_true_before: np.ndarray


class _SignAgreement(NamedTuple):
    """For each signed edge: 1 right, 0 wrong, 0.5 no predicted sign; and its sign in the reference."""

    agreement: np.ndarray
    sign: np.ndarray


class _Candidates(NamedTuple):
    """Predicted weight, presence and sign in the reference, numbers of its genes; one entry per candidate."""

    weight: np.ndarray
    truth: np.ndarray
    sign: np.ndarray
    regulator: np.ndarray
    target: np.ndarray


def _tie_blocks(strength: np.ndarray, truth: np.ndarray) -> _TieBlocks:
    _, block, size = np.unique(-strength, return_inverse=True, return_counts=True)
    n_true = np.bincount(block[truth], minlength=len(size))
    return _TieBlocks(size, n_true, np.cumsum(size) - size, np.cumsum(n_true) - n_true)


def _checked(strength: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    strength, truth = _as_numbers("strength", strength), np.asarray(truth)
    _check_same_shape(strength, truth, names=("strength", "truth"))
    if not (np.isfinite(strength) & (strength >= 0)).all():
        msg = (
            "`strength` has negative or non-finite values, expected absolute weights. "
            "Pass `np.abs(weight)`; for another kind of score, pass its ranks."
        )
        raise ValueError(msg)
    if not np.isin(truth, (0, 1)).all():
        msg = f"`truth` has values like {truth.ravel()[:3].tolist()}, expected only True and False. Pass `sign != 0`."
        raise ValueError(msg)
    n_true = np.count_nonzero(truth)
    if n_true in (0, truth.size):
        msg = (
            f"{n_true} of {truth.size} candidates are true edges, expected some but not all, for there is nothing "
            "to rank. Check that the reference uses the gene names of the network and holds enough of its genes."
        )
        raise ValueError(msg)
    return strength.ravel(), truth.ravel().astype(bool)


def _as_numbers(name: str, values: np.ndarray) -> np.ndarray:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        msg = f"`{name}` is {shown(values)}, expected numbers, one per candidate. Convert them."
        raise TypeError(msg) from error


def _check_same_shape(first: np.ndarray, second: np.ndarray, *, names: tuple[str, str]) -> None:
    if first.shape != second.shape:
        msg = (
            f"`{names[0]}` has shape {first.shape} and `{names[1]}` {second.shape}, expected the same. "
            "Pass one value of each per candidate."
        )
        raise ValueError(msg)


def _signed(sign: np.ndarray) -> np.ndarray:
    """Return the signs that are not zero, flat."""
    sign = as_numbers("sign", sign)
    if not np.isin(sign, (-1, 0, 1)).all():
        msg = f"`sign` has values like {pd.unique(sign.ravel())[:5].tolist()}, expected -1, 0 and 1. Use `np.sign`."
        raise ValueError(msg)
    if not sign.any():
        msg = f"None of {sign.size} `sign` values is 1 or -1, expected at least one. Use a reference with signs."
        raise ValueError(msg)
    return sign[sign != 0]


def _sign_agreement(weight: np.ndarray, sign: np.ndarray) -> _SignAgreement:
    weight, sign = _as_numbers("weight", weight), np.asarray(sign)
    _check_same_shape(weight, sign, names=("weight", "sign"))
    signed = _signed(sign)
    predicted = np.sign(weight[sign != 0])
    if np.isnan(predicted).any():
        msg = "`weight` has missing values, expected a number for each signed edge. Replace them by 0 (no edge)."
        raise ValueError(msg)
    return _SignAgreement((1 + predicted * signed) / 2, signed)


def reference_edges(reference: EdgeTable, network: RegulatoryNetwork) -> pd.DataFrame:
    """Return ``source, target, strength, sign`` without self edges, named as in the network; pairs may be repeated."""
    edges = read_edges(reference, role="reference")
    check_strengths(edges, role="reference", may_lack=True)
    edges = spell_edges(edges, network.regulators.union(network.targets), role="reference")
    return edges[edges["source"] != edges["target"]]


def _candidates(network: RegulatoryNetwork, edges: pd.DataFrame, regulators: pd.Index | None) -> _Candidates:
    part = shared_part(network, edges, regulators)
    keep_mask = np.ones(part.weight.shape, dtype=bool)
    keep_mask[self_pairs(part.regulators, part.targets)] = False
    present, activates, represses = (
        _edge_mask(part, chosen)[keep_mask] for chosen in (edges, edges[edges["sign"] > 0], edges[edges["sign"] < 0])
    )
    return _Candidates(part.weight[keep_mask], present, activates.astype(np.int8) - represses, *np.nonzero(keep_mask))


def shared_part(
    network: RegulatoryNetwork, edges: pd.DataFrame, regulators: pd.Index | None = None
) -> RegulatoryNetwork:
    """Return the part of the network whose pairs, except a gene with itself, are the candidates."""
    sources = network.regulators[network.regulators.isin(edges["source"])]
    sources = sources if regulators is None else sources[sources.isin(regulators)]
    genes = network.targets[network.targets.isin(edges["source"]) | network.targets.isin(edges["target"])]
    if sources.empty or genes.empty:
        msg = (
            f"The network and the reference share {len(sources)} regulators and {len(genes)} targets, expected some "
            f"of both; the network has {listed(network.regulators[:3])}, the reference "
            f"{listed(edges['source'].unique()[:3])}. {naming_advice(edges['source'].unique(), network.regulators)}"
        )
        raise ValueError(msg)
    return network.subset(sources, genes)


def _edge_mask(network: RegulatoryNetwork, edges: pd.DataFrame) -> np.ndarray:
    """Return True where the network has a place for one of the edges, shape ``(R, T)``."""
    row = network.regulators.get_indexer(pd.Index(edges["source"]))
    column = network.targets.get_indexer(pd.Index(edges["target"]))
    known = (row >= 0) & (column >= 0)
    mask = np.zeros(network.weight.shape, dtype=bool)
    mask[row[known], column[known]] = True
    return mask
