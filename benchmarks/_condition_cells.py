"""Cells of two conditions with a known difference: one regulator is rewired, one silenced, one only shifted in mean."""

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.sparse import csr_matrix

from scdual.data import _simulate as kinetics

KINDS = ("rewired", "silenced", "shifted")
CONDITIONS = ("control", "treated")
SHIFT = 3.0  # times as much of the shifted regulator, at the same effect on its targets
SILENT = 0.02  # what is left of the silenced one
DONOR_STD = 0.3  # log scale: what every gene is produced at differs between donors
N_TARGETS = (8, 60)  # of the regulators that are changed


def simulate_conditions(
    n_obs: int, *, molecules: float, n_donors: int = 0, n_vars: int = 300, seed: int = 0
) -> AnnData:
    """Return counts of two conditions; donors, if any, have cells in both.

    Half of the targets of the rewired regulator change sign, the other half goes to other genes. The network of the
    treated cells less that of the control is in ``uns["change"]``, regulators by genes; the names of the changed
    regulators are in ``uns["changed"]``.

    Parameters
    ----------
    n_obs
        Number of cells.
    molecules
        Median number of molecules per gene and cell.
    n_donors
        Number of donors; 0 leaves them out.
    n_vars
        Number of genes.
    seed
        Seed of everything random.
    """
    rng = np.random.default_rng(seed)
    edges, regulators, others = kinetics._random_network(
        n_vars, 30, edges_per_target=(1, 4), fraction_repressing=0.35, rng=rng
    )
    genes = pd.Index(regulators + others)
    n_targets = edges.groupby("source").size()
    fit = [name for name in regulators if N_TARGETS[0] <= n_targets.get(name, 0) <= N_TARGETS[1]]
    changed = dict(zip(KINDS, rng.permutation(fit).tolist(), strict=False))
    treated = _rewired(
        edges[edges["source"] != changed["silenced"]].reset_index(drop=True), changed["rewired"], others, rng
    )
    obs, _ = kinetics._cells(n_obs, n_cell_types=2, n_batches=1, rng=rng)
    is_treated = rng.permutation(np.arange(n_obs) % 2) == 1
    obs["condition"] = pd.Categorical.from_codes(is_treated.astype(int), list(CONDITIONS))
    is_regulator = genes.isin(regulators)
    production = kinetics._master_production(obs["cell_type"], is_regulator=is_regulator, rng=rng)
    if n_donors:
        donor = rng.permutation(np.arange(n_obs) % n_donors)
        obs["donor"] = pd.Categorical([f"donor_{i}" for i in donor])
        production = production * rng.lognormal(sigma=DONOR_STD, size=(n_donors, len(genes)))[donor]
    networks = [kinetics._weight_matrix(part, genes) for part in (edges, treated)]
    noise = rng.lognormal(-(kinetics._NOISE_STD**2) / 2, kinetics._NOISE_STD, size=production.shape)
    states = [kinetics._steady_state(network, production, noise, gene_names=genes) for network in networks]
    expression = np.where(is_treated[:, None], states[1], states[0])
    for kind, factor in (("shifted", SHIFT), ("silenced", SILENT)):
        expression[is_treated, genes.get_loc(changed[kind])] *= factor
    mean = kinetics._capture(expression, molecules * n_vars, rng=rng) * expression
    adata = AnnData(csr_matrix(rng.poisson(mean).astype(np.float32)), obs=obs)
    adata.var_names = genes
    adata.var["regulator"] = is_regulator
    change = (networks[1] - networks[0]).toarray()[is_regulator]
    adata.uns |= {"changed": changed, "change": change, "network": networks[0].toarray()}
    return adata


def _rewired(edges: pd.DataFrame, regulator: str, others: list[str], rng: np.random.Generator) -> pd.DataFrame:
    rows = rng.permutation(np.flatnonzero((edges["source"] == regulator) & edges["target"].isin(others)))
    flip, move = np.array_split(rows, 2)
    edges.loc[flip, "weight"] *= -1
    free = [name for name in others if name not in set(edges.loc[edges["source"] == regulator, "target"])]
    edges.loc[move, "target"] = rng.choice(free, len(move), replace=False)
    return edges
