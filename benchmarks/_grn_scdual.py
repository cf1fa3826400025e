"""SCDual and its controls, in the same form as the baselines."""

from typing import Any

import _ablations
import numpy as np
import pandas as pd
import scvi
import torch
from _grn_baselines import Maps
from _grn_data import DataSet
from anndata import AnnData

from scdual._types import MapKind
from scdual.grn import average_product_correction
from scdual.model import SCDual


def build(
    data: DataSet,
    ablation: str | None = None,
    prior: pd.DataFrame | None = None,
) -> SCDual:
    """Return an untrained model that sees the values of the baselines.

    Published log values are given as counts that the model turns back into the same values: it takes
    ``log1p(counts / size_factor)``.
    """
    scvi.settings.seed = data.seed
    counts = data.values if data.is_counts else np.expm1(data.values)
    adata = AnnData(counts.astype(np.float32))
    adata.var_names = data.genes
    adata.obs["size_factor"] = counts.sum(1).mean()  # the same for all cells: values stay as they are
    SCDual.setup_anndata(
        adata, size_factor_key=None if data.is_counts else "size_factor", require_counts=data.is_counts
    )
    return _ablations.build(adata, ablation, regulators=list(data.regulators), prior=prior)


def weight(model: SCDual, kind: MapKind = "regulation") -> np.ndarray:
    """Return a map of all cells, row = regulator and column = target."""
    return model.get_regulation(kind=kind).weight


def scdual(data: DataSet) -> Maps:
    """Return the map, its consensus with correlation, its own correction, and what the trained transformer does."""
    model = build(data)
    model.train(enable_progress_bar=False)
    regulation = weight(model)
    return {
        "scdual": regulation,
        "scdual consensus": weight(model, "consensus"),
        "scdual+APC": average_product_correction(regulation, data.pair_mask),
        "scdual influence": weight(model, "influence"),
        "scdual attention": weight(model, "attention"),
    }


def scdual_map(data: DataSet) -> Maps:
    """Return the map alone, which does not depend on how long the model is trained."""
    model = build(data)
    model.train_map()
    return {"scdual": weight(model)}


def scdual_by_support(data: DataSet) -> Maps:
    """Return the support of each sign, with the sign; of pairs with the same support the larger weight is the stronger."""
    model = build(data)
    model.train_map()
    network = model.get_regulation()
    evidence: Any = network.evidence
    weight = network.weight
    strength = evidence.support + 1e-3 * np.abs(weight) / max(np.abs(weight).max(), 1e-12)
    return {"scdual_by_support": np.where(weight == 0, 0.0, np.sign(weight) * strength)}


def scdual_ensemble(data: DataSet) -> Maps:
    """Return the mean map of five members of an ensemble, each of which saw half of the cells."""
    model = build(data)
    model.train_map()
    model.train_ensemble(5)
    return {"scdual ensemble": np.mean([network.weight for network in model.ensemble_networks()], axis=0)}


def scdual_warm_start(data: DataSet) -> Maps:
    """Return the ridge estimates from which gate and map start, as the transformer reads them before its first step."""
    model = build(data)
    model.train(max_epochs=1, plan_kwargs={"lr": 0.0}, enable_progress_bar=False)
    return {"scdual warm start": weight(model, "influence")}


def scdual_untrained(data: DataSet) -> Maps:
    """Return the influence of random weights: the values are learnt, and the start of the gate thrown away."""
    model = build(data)
    model.module.fit_scale(model._make_data_loader(model.adata, batch_size=512))
    torch.nn.init.normal_(model.module.map.gate.pair_offset, std=0.1)
    model.module.eval()
    model.is_trained = True
    return {"scdual untrained": weight(model, "influence")}


def scdual_without(data: DataSet, part: str) -> Maps:
    """Return the influence of the default training with one part taken out."""
    model = build(data, ablation=part)
    model.train(enable_progress_bar=False)
    return {f"scdual, {part}": weight(model, "influence")}
