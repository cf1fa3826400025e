"""Every tuned number of the regulatory map, with what it does and where it was chosen."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MapSettings:
    """The tuned numbers of the regulatory map.

    ``decisions/`` is the folder of decision records in the documentation. Numbers that only guard against rounding stand
    where they are used. *Varied*: halved or doubled, the number changes the mean AUPRC ratio of the network benchmark by at
    most 0.2 %; what moves it by more says by how much. ``benchmarks/sensitivity.py`` makes that table.

    Parameters
    ----------
    max_depth
        Where the standardised log library size is cut off, so that its square stays small. Varied.
    n_knots
        Knots of a gene's distribution, by which values become ranks. Varied.
    n_knot_cells
        Cells from which the knots are taken. Varied.
    n_components
        Principal components that denoise. Varied.
    weight_of_noise
        Weight of denoised values where correlations are pure noise, before the limit below. Chosen on the linear start,
        ``decisions/0004``; half of it -1.4 %, twice +0.5 %.
    max_denoised_weight
        Largest weight of denoised values. Chosen on the linear start, ``decisions/0004``. Varied.
    min_explained
        Explained variance below which a regulator's denoised value counts for less; half of it +0.2 %, twice -0.5 %.
    pca_chunk, pca_cells
        Cells per update of the components, and cells after which they are settled. Beyond the sizes of the benchmark.
    least_penalty
        Ridge penalty of few, independent regulators. Chosen on the linear start, ``decisions/0004``; half of it -0.2 %,
        twice +0.4 %.
    max_visible
        Regulators that a target sees at a time when there are many; half of it +1.0 %, twice -1.0 %, but on networks
        simulated here with 3,000 cells the other way round, so it stays.
    unfitted_visible_share
        Share of visible regulators before it is read off the data. Not measured: it is replaced before the first step.
    smallest_penalty
        Least ridge penalty of the start: regulators may be silent, or twins. Only a given `visible_share` near 1 reaches it.
    least_share
        Share of a pair's prior variance that similar genes have no say in, ``decisions/0008``. Varied.
    n_effects
        Regulators that may decide a gene in the sparse regression, at most: as many as 89 % of the genes of TRRUST have
        :cite:p:`Han18`. ``decisions/0010``; half of it -0.2 %, twice -0.5 %.
    deciding_targets
        Targets that decide between sparse and ridge regression, if there are more. Varied.
    moment_cells
        Cells after which the moments of the start are settled. Beyond the sizes of the benchmark.
    largest_gate
        Largest value of the gate at its start, so that it can still grow. Not measured.
    gate_rank
        Rank of the gate's bilinear form. Not measured.
    gate_rate
        Learning rate of the gate's offsets over that of the rest of the map: they start at their best linear value,
        ``decisions/0003``. Its size was not measured.
    largest_trust
        Largest trust in a prior network. Not measured.
    doubtful_edges
        Edges without support that are counted among those of a prior, so that few need more support. Not measured.
    target_chunk
        Targets whose maps are read at once, which bounds memory. It changes no number.
    """

    max_depth: float = 4.0
    n_knots: int = 32
    n_knot_cells: int = 2_000
    n_components: int = 50
    weight_of_noise: float = 5.0
    max_denoised_weight: float = 4.0
    min_explained: float = 0.02
    pca_chunk: int = 1_000
    pca_cells: int = 10_000
    least_penalty: float = 0.3
    max_visible: int = 100
    unfitted_visible_share: float = 0.2
    smallest_penalty: float = 1e-3
    least_share: float = 0.3
    n_effects: int = 6
    deciding_targets: int = 200
    moment_cells: int = 20_000
    largest_gate: float = 0.9
    gate_rank: int = 16
    gate_rate: float = 0.1
    largest_trust: float = 0.95
    doubtful_edges: float = 10.0
    target_chunk: int = 512


DEFAULT_SETTINGS = MapSettings()
