"""The regulatory map: its values, its start, its training objective and its read-out."""

from scdual.module.map._activity import UnitMeans, target_weights, unit_activity
from scdual.module.map._correlation import residual_correlation
from scdual.module.map._donors import Difference, cell_test, donor_test
from scdual.module.map._errors import squared_errors
from scdual.module.map._group import group_map
from scdual.module.map._hiding import Hidden, Hiding
from scdual.module.map._mean_maps import mean_attention, mean_influence
from scdual.module.map._mixture import ValueMixture
from scdual.module.map._perturbation import (
    Observed,
    Reach,
    Setting,
    Units,
    draw,
    observe,
    reach,
    set_log,
    units,
    value_range,
)
from scdual.module.map._posterior import KnownPairs, Posterior, posterior_map
from scdual.module.map._prior import prior_activity, prior_factor, prior_reach, prior_trust
from scdual.module.map._read_out import Pairs, correlation, gate, group_pairs, known_pairs
from scdual.module.map._regulation_map import RegulationMap
from scdual.module.map._scale import ExpressionScale
from scdual.module.map._settings import DEFAULT_SETTINGS, MapSettings
from scdual.module.map._units import UnitMaps, unit_maps
from scdual.module.map._values import MapCells, MapValues

__all__ = [
    "DEFAULT_SETTINGS",
    "Difference",
    "ExpressionScale",
    "Hidden",
    "Hiding",
    "KnownPairs",
    "MapCells",
    "MapSettings",
    "MapValues",
    "Observed",
    "Pairs",
    "Posterior",
    "Reach",
    "RegulationMap",
    "Setting",
    "UnitMaps",
    "UnitMeans",
    "Units",
    "ValueMixture",
    "cell_test",
    "correlation",
    "donor_test",
    "draw",
    "gate",
    "group_map",
    "group_pairs",
    "known_pairs",
    "mean_attention",
    "mean_influence",
    "observe",
    "posterior_map",
    "prior_activity",
    "prior_factor",
    "prior_reach",
    "prior_trust",
    "reach",
    "residual_correlation",
    "set_log",
    "squared_errors",
    "target_weights",
    "unit_activity",
    "unit_maps",
    "units",
    "value_range",
]
