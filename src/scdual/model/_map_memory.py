"""Will a map fit into memory? Asked before the work, answered by counting the numbers that are kept for each pair."""

import torch

from scdual._memory import available_memory, in_words
from scdual.model._progress import say

HELD = 24
"""Bytes of a pair in a model: weight, standard deviation, support, z value, cells with both genes, offset of the gate."""
LEARNT = 88
"""Bytes of a pair beside these while the map is learnt: a copy to fall back on (24), and then either products, estimates,
errors and posterior of the start, or gradients, moments of the optimiser and the targets of a step."""
READ = 24
"""Bytes of a pair while one map is read: the network with its evidence, and the numbers it is made of."""
GROUP = 64
"""Bytes of a pair beside these while the map of a group of cells is computed."""
WRITTEN = 8
"""Bytes of an edge in a matrix of `varp`: value and column."""
OF_REGULATORS = 64
"""Bytes of a pair of regulators while the map is learnt: products, their inverse and their eigenvectors."""
OF_GENES = 16_000
"""Bytes of a gene while the map is learnt: the thousand cells at a time from which principal components are learnt, twice."""
OF_TRAINING = 100_000_000
"""Bytes of a training of any size: optimiser, libraries that it loads, minibatches."""
N_MATRICES = 5
"""Matrices that are written of all cells: regulation, sd, support, attention, gate."""
N_OF_GROUP = 3
"""Matrices that are written of a group: regulation, sd, support."""
_LARGE = 2e9  # bytes from which the estimate is told


def check_held(n_genes: int, n_regulators: int) -> None:
    """Raise ``ValueError`` if a model of so many genes and regulators cannot be held."""
    _check(HELD * n_genes * n_regulators, f"A model of {_size(n_genes, n_regulators)} takes", _fewer("build it"))


def check_learnt(n_genes: int, n_regulators: int, *, accelerator: str, n_processes: int) -> None:
    """Say how much memory a training takes if it is much; raise ``ValueError`` if there is not so much.

    Parameters
    ----------
    n_genes, n_regulators
        Numbers of genes and of regulators of a model that is built.
    accelerator
        Where it trains, as in Lightning; the memory of a graphics card is not looked at.
    n_processes
        Processes that train on this machine.
    """
    if accelerator != "cpu" and torch.cuda.is_available():
        return
    needed = learning_bytes(n_genes, n_regulators) * n_processes
    what = f"To learn the map of {_size(n_genes, n_regulators)} takes"
    _check(needed, what, _fewer("train"))
    if needed >= _LARGE:
        say(f"{what} about {in_words(needed)} of memory beside the model and the data.")


def check_written(n_genes: int, n_regulators: int, *, n_groups: int = 0, share: float = 1.0) -> None:
    """Raise ``ValueError`` if what is written into the data does not fit beside the model.

    Parameters
    ----------
    n_genes, n_regulators
        Numbers of genes and of regulators.
    n_groups
        Groups of cells whose maps are written, too.
    share
        Share of the pairs that is written.
    """
    maps = f"{n_groups + 1} maps" if n_groups else "the map"
    needed = writing_bytes(n_genes, n_regulators, n_groups=n_groups, share=share)
    what = f"To write {maps} of {_size(n_genes, n_regulators)} into the data takes"
    cure = "pass a larger `min_support`, such as 0.9, which leaves out edges of which little is known"
    _check(needed, what, f"{cure}{', or a `groupby` with fewer groups' if n_groups else ''}")


def learning_bytes(n_genes: int, n_regulators: int) -> int:
    """Return how many bytes it takes to learn a map, beside the model."""
    of_pairs = LEARNT * n_genes * n_regulators + OF_REGULATORS * n_regulators**2
    return of_pairs + OF_GENES * n_genes + OF_TRAINING


def writing_bytes(n_genes: int, n_regulators: int, *, n_groups: int = 0, share: float = 1.0) -> int:
    """Return how many bytes it takes to write maps, beside the model; arguments as in :func:`check_written`."""
    written = WRITTEN * share * (N_MATRICES + N_OF_GROUP * n_groups)
    return int(n_genes * n_regulators * (READ + GROUP * (n_groups > 0) + written))


def _check(needed: float, what: str, cure: str) -> None:
    available = available_memory()
    if available is not None and needed > available:
        msg = f"{what} about {in_words(needed)} of memory, but {in_words(available)} are available; {cure}."
        raise ValueError(msg)


def _fewer(work: str) -> str:
    return (
        "choose fewer genes, as `scdual.pp.select_genes` does, or name fewer `regulators`, "
        f"or {work} on a machine with more memory"
    )


def _size(n_genes: int, n_regulators: int) -> str:
    return f"{n_regulators:,} regulators and {n_genes:,} genes"
