"""The regulatory map: its values, its start, its training objective and its read-out."""

from scdual.module.map._correlation import residual_correlation
from scdual.module.map._group import group_map
from scdual.module.map._hiding import Hidden, Hiding
from scdual.module.map._mixture import ValueMixture
from scdual.module.map._prior import prior_factor, prior_reach, prior_trust
from scdual.module.map._read_out import MeanMaps, correlation, gate, group_maps, mean_maps, with_prior
from scdual.module.map._regulation_map import RegulationMap
from scdual.module.map._scale import ExpressionScale
from scdual.module.map._settings import DEFAULT_SETTINGS, MapSettings
from scdual.module.map._values import MapCells, MapValues

__all__ = [
    "DEFAULT_SETTINGS",
    "ExpressionScale",
    "Hidden",
    "Hiding",
    "MapCells",
    "MapSettings",
    "MapValues",
    "MeanMaps",
    "RegulationMap",
    "ValueMixture",
    "correlation",
    "gate",
    "group_map",
    "group_maps",
    "mean_maps",
    "prior_factor",
    "prior_reach",
    "prior_trust",
    "residual_correlation",
    "with_prior",
]
