"""Simulate paired RNA and protein counts.

Dimension key
    C  cells      G  genes      P  proteins
"""

from contextlib import nullcontext
from typing import Any

import mudata
import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy.sparse import csr_matrix

from scdual._checks import check_whole
from scdual.data._simulate import GENE_STD, LIBRARY_STD, batch_effect, simulate

_PROTEIN_STD = 0.3  # log scale
_PROTEIN_MEAN = 20.0  # antibody counts of an expressed protein
_PROTEIN_BACKGROUND = 2.0  # ambient antibody


def simulate_mudata(
    n_obs: int = 2000, n_vars: int = 300, *, n_proteins: int = 30, seed: int = 0, **rna_options: Any
) -> MuData:
    r"""Return paired RNA and protein counts of the same cells, with a known signed network among the genes.

    Protein :math:`p` of cell :math:`c` has a Poisson count with mean
    :math:`l_c a_{kp} (r_p + m_p \, \epsilon_{cp} \, x_{ci} / \bar{x}_i)`: antibody capture :math:`l`, batch effect
    :math:`a`, background :math:`r`, abundance :math:`m` and noise :math:`\epsilon`, all lognormal, and the expression
    :math:`x` of one gene :math:`i`. Each protein follows another gene, drawn at random.

    Parameters
    ----------
    n_obs
        Number of cells ``C``.
    n_vars
        Number of genes ``G``.
    n_proteins
        Number of proteins ``P``, at most one per gene.
    seed
        Seed of everything random; the RNA is that of :func:`simulate` with the same seed.
    **rna_options
        Everything else that :func:`simulate` takes.

    Returns
    -------
    ``mod["rna"]``
        As :func:`simulate` returns it, ``(C, G)``.
    ``mod["prot"]``
        Counts, ``(C, P)``, CSR float32, with the followed gene in ``var["gene"]``.
    ``obs``
        The columns of the RNA's ``obs``, also on top.

    Raises
    ------
    ValueError
        If ``n_proteins`` is not between 1 and the number of genes, or :func:`simulate` refuses an argument.
    """
    check_whole("n_proteins", n_proteins, at_least=1)
    rna = simulate(n_obs, n_vars, seed=seed, **rna_options)
    check_whole("n_proteins", n_proteins, at_least=1, at_most=rna.n_vars)
    has_options = hasattr(mudata, "set_options")  # before 0.4, which never pulls columns up
    with mudata.set_options(pull_on_update=False) if has_options else nullcontext():
        mdata = MuData({"rna": rna, "prot": _proteins(rna, n_proteins, seed=seed)})
        mdata.obs = rna.obs.copy()
    return mdata


def _proteins(rna: AnnData, n_proteins: int, *, seed: int) -> AnnData:
    """Return protein counts, ``(C, P)``, that follow the expression of randomly drawn genes."""
    rng = np.random.default_rng([seed, 1])  # another stream than the RNA's
    gene_index = rng.choice(rna.n_vars, n_proteins, replace=False)
    relative = rna.layers["true_expression"][:, gene_index].astype(np.float64)  # (C, P)
    relative = relative / relative.mean(axis=0)
    noise = rng.lognormal(-(_PROTEIN_STD**2) / 2, _PROTEIN_STD, size=relative.shape)
    abundance = _PROTEIN_MEAN * rng.lognormal(sigma=GENE_STD, size=n_proteins)
    background = _PROTEIN_BACKGROUND * rng.lognormal(sigma=GENE_STD, size=n_proteins)
    capture = rng.lognormal(sigma=LIBRARY_STD, size=(rna.n_obs, 1))
    batch_index = rna.obs["batch"].cat.codes.to_numpy() if "batch" in rna.obs else np.zeros(rna.n_obs, dtype=int)
    mean = capture * (background + abundance * noise * relative) * batch_effect(batch_index, n_proteins, rng=rng)
    genes = rna.var_names[gene_index].to_numpy()
    var = pd.DataFrame({"gene": genes}, index=[f"{gene}_protein" for gene in genes])
    counts = csr_matrix(rng.poisson(mean).astype(np.float32))
    return AnnData(counts, obs=pd.DataFrame(index=rna.obs_names), var=var)
