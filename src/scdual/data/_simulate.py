r"""Simulate counts from a known signed network with Hill kinetics.

The kinetics follow SERGIO :cite:p:`Dibaeinia20`, with each cell at its steady state instead of a stochastic
differential equation, so that a data set takes a second. The constants are choices from the literature named beside
them, not fits to any data set or method.

Dimension key
    C  cells      G  genes      E  edges
"""

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.sparse import csr_matrix

from scdual._checks import check_names, check_number, check_share, check_whole, did_you_mean, listed, shown
from scdual.grn._edges import EdgeTable, check_no_repeats, check_strengths, read_edges, signed_weights

_STRENGTH_RANGE = (1.0, 5.0)  # SERGIO: uniform
_HILL_COEFFICIENT = 2.0  # SERGIO
_BASAL_PRODUCTION = 0.1  # leak: a few percent of full activation
_MASTER_SHARE = 1 / 3  # of the regulators
_OUT_DEGREE_STD = 1.0  # log scale: few regulators have many targets
_TYPE_STD = 0.7  # log scale: a master differs about twofold between cell types
_NOISE_STD = 0.5  # log scale: bursts give a coefficient of variation of about one half
GENE_STD = 1.0  # log scale: genes differ in abundance
LIBRARY_STD = 0.35  # log scale
_BATCH_STD = 0.2  # log scale
_MOLECULES_PER_GENE = 0.5  # UMI protocols; pbmc68k has 0.9 among its most variable genes


def simulate(  # noqa: PLR0913 - each is one property of the data
    n_obs: int = 2000,
    n_vars: int = 300,
    *,
    n_regulators: int = 30,
    n_cell_types: int = 5,
    n_batches: int = 1,
    edges_per_target: tuple[int, int] = (1, 4),
    fraction_repressing: float = 0.35,
    library_size: float | None = None,
    dropout: float = 0.0,
    network: EdgeTable | None = None,
    knockout: str | Sequence[str] | None = None,
    seed: int = 0,
) -> AnnData:
    r"""Return integer counts whose signed regulatory network is known.

    Gene :math:`i` of cell :math:`c` has the steady-state expression

    .. math::
        x_{ci} = \epsilon_{ci} \left( b + \sum_j |w_{ji}| \, \phi_{ji}(x_{cj}) \right), \quad
        \phi_{ji}(x) = \begin{cases} H_j(x) & w_{ji} > 0 \\ 1 - H_j(x) & w_{ji} < 0 \end{cases}, \quad
        H_j(x) = \frac{x^2}{x^2 + h_j^2}

    as in SERGIO :cite:p:`Dibaeinia20`: contributions of the regulators :math:`j` add up, and :math:`h_j` is the mean
    of the regulator over all cells. The noise :math:`\epsilon` is lognormal with mean 1 and runs down the cascade. The
    bracket is one lognormal value per cell type for a master regulator (one that has no regulator), and 1 for a gene
    outside the network. Counts are Poisson with mean :math:`l_c s_i a_{ki} x_{ci}`: capture :math:`l_c`, abundance
    :math:`s_i` and effect :math:`a_{ki}` of batch :math:`k`, all lognormal. UMI counts need no dropout beyond that
    :cite:p:`Svensson20`; if asked for, a count of mean :math:`\mu` is lost with probability
    :math:`\mu_0 / (\mu_0 + \mu)`, which is logistic in :math:`\log \mu` :cite:p:`Andrews19`.

    Parameters
    ----------
    n_obs
        Number of cells ``C``, divided evenly among the cell types and the batches.
    n_vars
        Number of genes ``G``. With ``network``, the table's genes are always there, and unconnected genes fill up.
    n_regulators
        Number of genes that may regulate, the first third of them masters. Not used with ``network``.
    n_cell_types
        Number of cell types; they differ in the production of the masters.
    n_batches
        Number of batches. With several, each gene has a mild multiplicative effect per batch.
    edges_per_target
        Smallest and largest number of regulators of a gene, both possible. Not used with ``network``.
    fraction_repressing
        Chance that an edge represses, by default as in TRRUST :cite:p:`Han18`. Not used with ``network``.
    library_size
        Median over cells of the expected molecules per cell; by default half a molecule per gene.
    dropout
        Quantile, over genes and cells, of the mean :math:`\mu` at which half of the counts are lost; 0 loses none.
    network
        Acyclic network with columns ``source, target, weight``, one row per edge. The sign of the weight is the sign
        of the regulation, its size the strength; leaky production is 0.1.
    knockout
        Gene, or several, that no cell expresses. With the same seed these are the cells that they would have been with
        the gene: all that is drawn is the same, up to the scatter of the counts.
    seed
        Seed of everything random; the same seed gives the same data.

    Returns
    -------
    ``X``
        Counts, ``(C, G)``, CSR float32, genes in random order.
    ``layers["true_expression"]``
        Expression :math:`x` before capture, ``(C, G)``, in arbitrary units.
    ``varp["true_regulation"]``
        Signed strengths :math:`w`, ``(G, G)``, CSR float32, row = regulator, column = target.
    ``var["regulator"]``
        True for the genes that may regulate (with ``network``: its sources).
    ``obs["cell_type"]``, ``obs["batch"]``
        Categories; ``batch`` only with several batches.
    ``uns["simulation"]``
        The parameters.

    Raises
    ------
    ValueError
        If a number is out of range, the network has a cycle, a self edge, a repeated edge or a bad weight, or there is no
        gene of the name in ``knockout``.
    TypeError
        If a number of things is not an integer, the network no table, or ``knockout`` no name.

    Examples
    --------
    >>> chain = pd.DataFrame({"source": ["A", "B"], "target": ["B", "C"], "weight": [1.0, -1.0]})
    >>> adata = simulate(500, 50, network=chain)
    >>> without_a = simulate(500, 50, network=chain, knockout="A")
    """
    check_whole("n_obs", n_obs, at_least=1)
    check_whole("n_vars", n_vars, at_least=1)
    check_whole("n_cell_types", n_cell_types, at_least=1, at_most=n_obs)
    check_whole("n_batches", n_batches, at_least=1, at_most=n_obs)
    check_number("dropout", dropout, at_least=0, at_most=0.99)
    check_number("library_size", library_size, at_least=1, optional=True)
    check_whole("seed", seed, at_least=0)
    rng = np.random.default_rng(seed)
    if network is None:
        edges, regulators, others = _random_network(
            n_vars, n_regulators, edges_per_target=edges_per_target, fraction_repressing=fraction_repressing, rng=rng
        )
    else:
        edges, regulators, others = _given_network(network, n_vars)
    gene_names = pd.Index(rng.permutation(regulators + others).tolist(), dtype=str)
    library_size = _MOLECULES_PER_GENE * len(gene_names) if library_size is None else library_size
    lost = _lost_genes(knockout, gene_names)

    weight = _weight_matrix(edges, gene_names)  # (G, G)
    obs, batch_index = _cells(n_obs, n_cell_types=n_cell_types, n_batches=n_batches, rng=rng)
    var = pd.DataFrame({"regulator": gene_names.isin(regulators)}, index=gene_names)
    production = _master_production(obs["cell_type"], is_regulator=var["regulator"].to_numpy(), rng=rng)
    noise = rng.lognormal(-(_NOISE_STD**2) / 2, _NOISE_STD, size=production.shape)
    expression = _steady_state(weight, production, noise, gene_names=gene_names)  # (C, G)
    capture = _capture(expression, library_size, rng=rng) * batch_effect(batch_index, len(gene_names), rng=rng)
    if lost:  # no kinetics change but those of the lost genes
        half = expression.mean(axis=0)
        expression = _steady_state(weight, production, noise, gene_names=gene_names, half=half, lost=lost)
    mean = capture * expression
    adata = AnnData(csr_matrix(_sample_counts(mean, dropout, rng=rng)), obs=obs, var=var)
    adata.layers["true_expression"] = expression.astype(np.float32)
    adata.varp["true_regulation"] = weight
    adata.uns["simulation"] = {
        "n_cell_types": n_cell_types,
        "n_batches": n_batches,
        "library_size": float(library_size),
        "dropout": float(dropout),
        "network": "random" if network is None else "given",
        "seed": seed,
    }
    if lost:
        adata.uns["simulation"]["knockout"] = lost
    if network is None:
        adata.uns["simulation"] |= {
            "n_regulators": n_regulators,
            "edges_per_target": list(edges_per_target),
            "fraction_repressing": float(fraction_repressing),
        }
    return adata


def _numbered(prefix: str, n: int) -> list[str]:
    width = max(len(str(n)), {"REG": 2, "GENE": 3}.get(prefix, 1))
    return [f"{prefix}{number:0{width}d}" for number in range(1, n + 1)]


def _random_network(
    n_vars: int,
    n_regulators: int,
    *,
    edges_per_target: tuple[int, int],
    fraction_repressing: float,
    rng: np.random.Generator,
) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Return an acyclic table of edges, the regulators and the other genes; a regulator's regulators precede it."""
    check_whole("n_regulators", n_regulators, at_least=1, at_most=n_vars)
    if np.shape(edges_per_target) != (2,):
        msg = (
            f"`edges_per_target` is {shown(edges_per_target)}, expected two numbers, as in (1, 4). Pass least and most."
        )
        raise ValueError(msg)
    fewest, most = edges_per_target
    check_whole("edges_per_target[0]", fewest, at_least=1)
    check_whole("edges_per_target[1]", most, at_least=fewest)
    check_share("fraction_repressing", fraction_repressing)
    regulators, others = _numbered("REG", n_regulators), _numbered("GENE", n_vars - n_regulators)
    popularity = rng.lognormal(sigma=_OUT_DEGREE_STD, size=n_regulators)
    pairs: list[tuple[str, str]] = []
    for position, target in enumerate(regulators + others):
        if position < _MASTER_SHARE * n_regulators:
            continue
        prob = popularity[:position] / popularity[:position].sum()
        n_edges = min(int(rng.integers(fewest, most, endpoint=True)), len(prob))
        pairs += [(regulators[i], target) for i in rng.choice(len(prob), n_edges, replace=False, p=prob)]
    edges = pd.DataFrame(pairs, columns=["source", "target"])
    sign = np.where(rng.random(len(edges)) < fraction_repressing, -1.0, 1.0)
    return edges.assign(weight=sign * rng.uniform(*_STRENGTH_RANGE, size=len(edges))), regulators, others


def _given_network(network: EdgeTable, n_vars: int) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Return the checked table of edges, the regulators and the other genes, fillers included."""
    edges = read_edges(network, role="network")
    check_no_repeats(edges, role="network")
    check_strengths(edges, role="network")
    edges["weight"] = signed_weights(edges, role="network")
    loops = edges["source"][edges["source"] == edges["target"]]
    if len(loops):
        msg = (
            f"`network` has {len(loops)} edges from a gene to itself: {listed(loops)}; expected none. Drop these rows."
        )
        raise ValueError(msg)
    regulators = list(edges["source"].unique())
    others = list(edges.loc[~edges["target"].isin(regulators), "target"].unique())
    n_fillers = max(0, n_vars - len(regulators) - len(others))
    fillers = [name for name in _numbered("GENE", n_vars) if name not in {*regulators, *others}]
    return edges, regulators, others + fillers[:n_fillers]


def _weight_matrix(edges: pd.DataFrame, gene_names: pd.Index) -> csr_matrix:
    """Return the signed strengths, ``(G, G)``, row = regulator, column = target, aligned by name."""
    row, column = gene_names.get_indexer(edges["source"]), gene_names.get_indexer(edges["target"])
    weight = edges["weight"].to_numpy(np.float32)
    return csr_matrix((weight, (row, column)), shape=(len(gene_names), len(gene_names)))


def _cells(
    n_obs: int, *, n_cell_types: int, n_batches: int, rng: np.random.Generator
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the annotation of the cells and the batch of each, ``(C,)``."""
    type_index = rng.permutation(np.arange(n_obs) % n_cell_types)
    batch_index = rng.permutation(np.arange(n_obs) % n_batches)
    obs = pd.DataFrame(index=_numbered("cell_", n_obs))
    obs["cell_type"] = pd.Categorical.from_codes(type_index, _numbered("type_", n_cell_types))
    if n_batches > 1:
        obs["batch"] = pd.Categorical.from_codes(batch_index, _numbered("batch_", n_batches))
    return obs, batch_index


def _master_production(cell_type: pd.Series, *, is_regulator: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the production of genes that nothing regulates, ``(C, G)``: by cell type for regulators, else 1."""
    n_cell_types = len(cell_type.cat.categories)
    by_type = rng.lognormal(sigma=_TYPE_STD, size=(n_cell_types, len(is_regulator)))
    return np.where(is_regulator, by_type, 1.0)[cell_type.cat.codes.to_numpy()]


def _lost_genes(knockout: str | Sequence[str] | None, gene_names: pd.Index) -> list[str]:
    """Return the checked names of the genes that are knocked out."""
    if knockout is None:
        return []
    lost = check_names("knockout", [knockout] if isinstance(knockout, str) else knockout)
    unknown = [name for name in lost if name not in gene_names]
    if unknown:
        advice = did_you_mean(unknown[0], gene_names) or "Name one of those."
        msg = f"`knockout` names {listed(unknown)}, expected genes of the simulation, such as {listed(sorted(gene_names)[:3])}. {advice}"
        raise ValueError(msg)
    return lost


def _steady_state(
    weight: csr_matrix,
    production: np.ndarray,
    noise: np.ndarray,
    *,
    gene_names: pd.Index,
    half: np.ndarray | None = None,
    lost: Sequence[str] = (),
) -> np.ndarray:
    """Return the expression of every gene in every cell, ``(C, G)``, each gene after its regulators.

    ``half`` is the expression ``(G,)`` at which a regulator is half active, by default its mean; ``lost`` genes have none.
    """
    expression = production * noise
    is_lost = gene_names.isin(lost)
    incoming = weight.tocsc()
    for target in _regulators_first(weight, gene_names):
        own = slice(incoming.indptr[target], incoming.indptr[target + 1])
        if own.start < own.stop:
            regulators = incoming.indices[own]
            regulator = expression[:, regulators]  # (C, regulators of this target)
            middle = regulator.mean(axis=0) if half is None else half[regulators]
            active = regulator**_HILL_COEFFICIENT
            active = active / (active + middle**_HILL_COEFFICIENT)
            contribution = np.abs(incoming.data[own]) * np.where(incoming.data[own] > 0, active, 1.0 - active)
            expression[:, target] = (_BASAL_PRODUCTION + contribution.sum(axis=1)) * noise[:, target]
        if is_lost[target]:
            expression[:, target] = 0.0
    return expression


def _regulators_first(weight: csr_matrix, gene_names: pd.Index) -> list[int]:
    """Return the genes in an order in which each comes after its regulators."""
    incoming = weight.tocsc()
    graph = {
        target: incoming.indices[incoming.indptr[target] : incoming.indptr[target + 1]].tolist()
        for target in range(len(gene_names))
    }
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        cycle = " -> ".join(gene_names[error.args[1]])
        msg = (
            f"`network` has the cycle {cycle}; expected none, for the steady state is found gene by gene. Cut an edge."
        )
        raise ValueError(msg) from error


def _capture(expression: np.ndarray, library_size: float, *, rng: np.random.Generator) -> np.ndarray:
    """Return the mean count per unit of expression, ``(C, G)``: abundance of the gene times capture of the cell."""
    n_obs, n_genes = expression.shape
    abundance = rng.lognormal(sigma=GENE_STD, size=n_genes)
    capture = rng.lognormal(sigma=LIBRARY_STD, size=(n_obs, 1))
    scale = capture * abundance
    return scale * (library_size / np.median((scale * expression).sum(axis=1)))


def batch_effect(batch_index: np.ndarray, n_features: int, *, rng: np.random.Generator) -> np.ndarray:
    """Return the factor of each cell and feature, ``(C, n_features)``; ones for a single batch."""
    n_batches = int(batch_index.max()) + 1
    std = _BATCH_STD if n_batches > 1 else 0.0
    return rng.lognormal(sigma=std, size=(n_batches, n_features))[batch_index]


def _sample_counts(mean: np.ndarray, dropout: float, *, rng: np.random.Generator) -> np.ndarray:
    """Return integer counts as float32, ``(C, G)``."""
    counts = rng.poisson(mean).astype(np.float32)
    if dropout == 0:
        return counts
    half_lost = np.quantile(mean, dropout)
    return np.where(rng.random(mean.shape) < half_lost / (half_lost + mean), np.float32(0), counts)
