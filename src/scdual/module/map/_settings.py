"""Every tuned number of the regulatory map, with what it does and where it was chosen."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MapSettings:
    """The tuned numbers of the regulatory map.

    ``decisions/`` is the folder of decision records in the documentation. Numbers that only guard against rounding stand
    where they are used.

    Parameters
    ----------
    max_depth
        Where the standardised log library size is cut off, so that its square stays small. Not measured.
    n_knots
        Knots of a gene's distribution, by which values become ranks. Not measured.
    n_knot_cells
        Cells from which the knots are taken. Not measured.
    n_components
        Principal components that denoise. Not measured.
    weight_of_noise
        Weight of denoised values where correlations are pure noise, before the limit below. Chosen on the linear start,
        ``decisions/0004``.
    max_denoised_weight
        Largest weight of denoised values. Chosen on the linear start, ``decisions/0004``.
    min_explained
        Explained variance below which a regulator's denoised value counts for less. Not measured.
    pca_chunk, pca_cells
        Cells per update of the components, and cells after which they are settled. Not measured.
    least_penalty
        Ridge penalty of few, independent regulators. Chosen on the linear start, ``decisions/0004``.
    max_visible
        Regulators that a target sees at a time when there are many. Not measured.
    unfitted_visible_share
        Share of visible regulators before it is read off the data. Not measured: it is replaced before the first step.
    smallest_penalty
        Least ridge penalty of the start: regulators may be silent, or twins. Not measured.
    least_share
        Share of a pair's prior variance that similar genes have no say in; 0.15 and 0.6 change the mean of the network
        benchmark by at most .002, ``decisions/0008``.
    moment_cells
        Cells after which the moments of the start are settled. Not measured.
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
    moment_cells: int = 20_000
    largest_gate: float = 0.9
    gate_rank: int = 16
    gate_rate: float = 0.1
    largest_trust: float = 0.95
    doubtful_edges: float = 10.0
    target_chunk: int = 512


DEFAULT_SETTINGS = MapSettings()
