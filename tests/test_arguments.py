"""Every argument of every public call is checked before any work: the error names it, and nothing has changed.

A new argument without a row here fails the test.
"""

import inspect
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from anndata import AnnData
from torch.distributions import Normal, Poisson

from scdual import datasets, grn, pl, pp, tl
from scdual.datasets import simulate
from scdual.grn import ConditionComparison, RegulatoryNetwork
from scdual.model import Perturbation, SCDual
from scdual.module import MODULE_CHECKS, SCDualModule, SCDualTrainingPlan

N_CELLS = 60
NETWORK = RegulatoryNetwork(np.array([[0.0, 1.0, -0.5]]), pd.Index(["A"]), pd.Index(["A", "B", "C"]))
TESTED = {"se": [0.1], "p_value": [0.001], "q_value": [0.01]}
REFERENCE = pd.DataFrame({"source": ["A", "D"], "target": ["B", "C"]})
COMPARISON = ConditionComparison(
    pd.DataFrame({"source": ["A"], "target": ["B"], "difference": [0.4], "z": [4.0], **TESTED}),
    pd.DataFrame({"regulator": ["A"], "activity_difference": [0.4], **TESTED}),
    pd.DataFrame({"condition": ["ctrl", "stim"], "donor": [None, None], "n_cells": [30, 30]}),
    "ctrl",
)
ACTIVE = AnnData(np.ones((2, 1)), obs=pd.DataFrame({"batch": ["x", "y"]}, index=["1", "2"]))
ACTIVE.obsm["scdual_activity"] = pd.DataFrame({"A": [0.1, 0.3]}, index=ACTIVE.obs_names)

EFFECTS = pd.DataFrame(
    {"log_change": [0.3], "lower": [0.1], "upper": [0.5], "reach": ["direct"], "via": [""]}, index=["B"]
)
KNOCKOUT = Perturbation({"A": 0}, None, 3, 1, EFFECTS, EFFECTS)
MDATA = datasets.simulate_mudata(N_CELLS, 20, n_proteins=3, n_regulators=4)
PERTURBED = simulate(N_CELLS, 20, n_regulators=4)
PERTURBED.obs["batch"] = "batch_1"
PERTURBED.obs["gene"] = ["none"] * 20 + ["REG01", "REG02", "REG03", "REG04"] * 10

# ---- nonsense, by kind of argument -------------------------------------------------------------------------------------

WHOLE = [0, -1, 2.5, True, "8", math.nan, [2]]
WHOLE_OR_ZERO = [-1, 2.5, True, "8"]
SHARE = [-0.1, 1.5, math.nan, "0.5", True]
WEIGHT = [-1.0, math.nan, "1", True]
POSITIVE = [0, *WEIGHT]
FLAG = ["no", 1, 2]
TEXT = ["nope", 3]
SYMBOLS = ["nope", 3, {"NOPE": "nope"}]
DATA = ["cells.h5ad", 3]
INDICES = [[N_CELLS], [-N_CELLS - 1], [0.5], [], [True], ["cell_1"], "cells", [[0, 1]], np.zeros(N_CELLS, dtype=bool)]
LOADER = [3, {"batchsize": 1}]
HARDWARE = {"accelerator": ["tpuu", None, 3, "mps"], "devices": [0, -2, [], "none", True, 1.5]}
CELLS = {"adata": DATA, "indices": INDICES, "batch_size": WHOLE}
MINIBATCHES = {"dataloader": [3], "data_loader_kwargs": LOADER}
GROUPBY = ["nope", 3, ["batch", "nope"], ["batch", "batch"], []]
BATCHES = ["batch_9", 0, ["batch_1", "nope"], []]
GENES = ["GENE001", ["NOPE"], ["GENE001", "GENE001"], [], [3], 3]
IMPORTANCE = {
    **dict.fromkeys(("max_cells", "n_mc_samples", "n_mc_samples_per_pass"), WHOLE),
    "truncation": FLAG,
}
COMPARED = {
    "gene_symbols": SYMBOLS,
    "comparison": TEXT,
    "group": TEXT,
    "condition": TEXT,
    "fdr": SHARE,
    "ax": TEXT,
}
SIZES = dict.fromkeys(
    ("n_hidden", "n_latent", "n_latent_components", "n_layers", "n_embed", "n_heads", "n_pool", "n_bins"), WHOLE
)
CHOSEN = {
    **SIZES,
    "dropout_rate": [-0.1, 1, 2, "0.1"],
    "gene_likelihood": ["ZINB", "normal", None],
    "dispersion": ["genes", "gene_batch"],
    "batch_representation": ["embeding", True],
    "batch_embedding_kwargs": [3, {"dim": 3}, {"embedding_dim": 3}],
    "min_cells": [-1, 1.5, "3"],
    "visible_share": [0, 1.5, math.nan],
    "denoised_weight": WEIGHT,
    "target_share": [0, 1.5],
    **dict.fromkeys(("regulation_weight", "sparsity_weight", "prior_weight", "classification_weight"), WEIGHT),
    "extra_payload_autotune": FLAG,
}
PLAN = {
    **dict.fromkeys(("lr", "weight_decay", "max_kl_weight"), WEIGHT),
    "eps": POSITIVE,
    **dict.fromkeys(("n_steps_warmup", "n_steps_kl_warmup"), WHOLE_OR_ZERO),
    "map_every": WHOLE,
    **dict.fromkeys(("compile", "on_step", "on_epoch"), FLAG),
    "compile_kwargs": [3],
}
TRAINER = [
    *({"learning_rate": 0.1}, {"max_epoch": 3}, {"early_stopping_monitor": "loss"}, {"early_stopping_mode": "low"}),
    *({"early_stopping_patience": 0}, {"check_val_every_n_epoch": 0}, {"enable_progress_bar": "no"}),
    *({"gradient_clip_val": -1}, {"log_every_n_steps": 0}, {"early_stopping_min_delta": "0"}),
    *({"early_stopping_warmup_epochs": -1}, {"progress_bar_refresh_rate": -1}, {"checkpointing_monitor": "loss"}),
    *({name: 3} for name in ("enable_checkpointing", "enable_model_summary", "simple_progress_bar")),
    {"learning_rate_monitor": 3},
]

DEVICE = [-1, 2.5, True, "cuda", None, [0]]
KEY = [3, 0, "", "nope", ["batch"]]
KEYS = ["batch", 3, 0, ["nope"], [3]]
SETUP = {
    "layer": TEXT,
    **dict.fromkeys(("batch_key", "labels_key", "size_factor_key"), KEY),
    **dict.fromkeys(("categorical_covariate_keys", "continuous_covariate_keys"), KEYS),
    "require_counts": FLAG,
    "kwargs": [{"nope": 3}, {"extend_categories": True}],
}
SIMULATED = {
    **dict.fromkeys(("n_obs", "n_vars", "n_cell_types", "n_batches", "n_regulators"), WHOLE),
    "edges_per_target": [3, (0, 1), (3, 1), (1,), "14"],
    "fraction_repressing": SHARE,
    "library_size": POSITIVE,
    "dropout": [-0.1, 1, math.nan, "0.5"],
    "network": TEXT,
    "knockout": ["NOPE", ["NOPE"], 3],
    "seed": [-1, 2.5, "8"],
}

# ---- one row per call; of `**kwargs`, the nonsense is a dict of them ------------------------------------------------------

WRONG: dict[str, dict[str, list[Any]]] = {
    "SCDual": {
        "adata": DATA,
        "regulators": [["NOPE"], "nope"],
        "registry": [3],
        **{name: CHOSEN[name] for name in ("n_hidden", "n_latent", "n_layers", "dropout_rate", "min_cells")},
        **{name: CHOSEN[name] for name in ("gene_likelihood", "dispersion")},
        "module_kwargs": [
            *({"n_head": 3}, {"n_batch": 2}, {"n_embed": 63}),
            *({name: value} for name, values in CHOSEN.items() for value in values if name in MODULE_CHECKS),
        ],
    },
    "train": {
        "max_epochs": WHOLE,
        **HARDWARE,
        "train_size": [0, 1.2, -1, math.nan, "0.9", True],
        "validation_size": [1, -0.1, 0.5],
        **dict.fromkeys(("shuffle_set_split", "load_sparse_tensor", "early_stopping"), FLAG),
        "batch_size": [*WHOLE, None],
        "datasplitter_kwargs": [3, {"droplast": True}],
        "plan_config": [3],
        "plan_kwargs": [3, {"learning_rate": 0.1}, *({name: value} for name in PLAN for value in PLAN[name])],
        "datamodule": [3],
        "trainer_config": [3],
        "trainer_kwargs": TRAINER,
    },
    "train_map": {**HARDWARE, "batch_size": [*WHOLE, None]},
    "train_ensemble": {
        "n_ensemble": [1, *WHOLE],
        "permute_within": [*GROUPBY, "own"],
        **HARDWARE,
        "batch_size": [*WHOLE, None],
        "enable_progress_bar": FLAG,
    },
    "merge_ensembles": {"others": [3, [], ["model"]]},
    "ensemble_networks": CELLS,
    "get_regulation": {
        **CELLS,
        "groupby": [*GROUPBY, "own", "mixed"],
        "kind": ["foo", "Regulation", None],
        "exclude_targets": ["nope", "symbol", ["NOPE"], ["REG1", "REG1"], [], [3], 3],
        "dataloader": [3, [], "loader", [3]],
    },
    "compare_conditions": {
        "condition_key": ["nope", 3, None, "own", "mixed", "one"],
        "groupby": [*GROUPBY, "own", "mixed"],
        "donor_key": ["nope", 3, "batch", "own", "mixed"],
        "reference": ["batch_9", 3],
        "adata": DATA,
        "batch_size": WHOLE,
    },
    "regulator_report": {"factors": ["SPI1", [], [3], ["A", "A"], 3], "organism": ["fly", 3]},
    "annotate": {
        "adata": DATA,
        "groupby": [*GROUPBY, "own", "mixed"],
        "batch_size": WHOLE,
        "min_support": SHARE,
    },
    "perturb": {
        "genes": [
            *(3, {}, ["REG01"], {3: 0}, {"REG1": 0}, {"GENE001": 0}),
            *({"REG01": value} for value in (-1, math.nan, math.inf, "twice", "2", "-2x", True, None)),
        ],
        "group": TEXT,
        "groupby": GROUPBY,
        "adata": DATA,
        "rounds": WHOLE_OR_ZERO,
        "n_draws": WHOLE,
        "shift": FLAG,
        "key_added": ["", "a/b", 3],
        "batch_size": WHOLE,
    },
    "check_perturbation": {
        "adata": DATA,
        "key": TEXT,
        "control": TEXT,
        "to": [-1, math.nan, "twice", True, None],
        "rounds": WHOLE_OR_ZERO,
        "batch_size": WHOLE,
    },
    "get_latent_representation": {
        **CELLS,
        "give_mean": FLAG,
        "mc_samples": WHOLE,
        "return_dist": FLAG,
        "dataloader": [3],
        "out": ["cells.h5ad", "cells", 3, True],
        "data_loader_kwargs": [{"give_meen": True}],
    },
    "get_elbo": {**CELLS, **MINIBATCHES, "return_mean": FLAG, "kwargs": [{"nope": 3}]},
    "get_reconstruction_error": {**CELLS, **MINIBATCHES, "return_mean": FLAG, "kwargs": [{"nope": 3}]},
    "get_marginal_ll": {
        **CELLS,
        **MINIBATCHES,
        "n_mc_samples": WHOLE,
        "return_mean": FLAG,
        "kwargs": [{"nope": 3}, {"n_mc_samples_per_pass": 0}],
    },
    "get_aggregated_posterior": {**CELLS, "dof": POSITIVE},
    "get_batch_representation": CELLS,
    "get_latent_library_size": {
        **CELLS,
        "give_mean": FLAG,
        "dataloader": [3],
        "data_loader_kwargs": [{"nope": 3}],
    },
    "get_normalized_expression": {
        **CELLS,
        **MINIBATCHES,
        "transform_batch": BATCHES,
        "gene_list": GENES,
        "library_size": ["foo", *POSITIVE],
        "n_samples": [*WHOLE, None],
        "n_samples_overall": WHOLE,
        "weights": ["foo", "importance", 1],
        "return_mean": FLAG,
        "return_numpy": FLAG,
        "silent": FLAG,
        "importance_weighting_kwargs": [
            *({"n_sample": 3}, {"max_cells": 5}),
            *({name: value} for name in IMPORTANCE for value in IMPORTANCE[name]),
        ],
    },
    "posterior_predictive_sample": {
        **CELLS,
        "transform_batch": BATCHES,
        "n_samples": WHOLE,
        "gene_list": GENES,
        "dataloader": [3],
        "silent": FLAG,
        "data_loader_kwargs": [{"n_sample": 3}],
    },
    "get_likelihood_parameters": {
        **CELLS,
        "n_samples": WHOLE,
        "give_mean": FLAG,
        "dataloader": [3],
        "data_loader_kwargs": [{"n_sample": 3}],
    },
    "get_feature_correlation_matrix": {
        **CELLS,
        "n_samples": WHOLE,
        "rna_size_factor": POSITIVE,
        "transform_batch": BATCHES,
        "correlation_type": ["kendall", "Spearman"],
        "silent": FLAG,
    },
    "get_importance_weights": {
        **{name: CELLS[name] for name in ("adata", "indices")},
        **dict.fromkeys(("qz", "px", "zs"), [3]),
        **IMPORTANCE,
        "data_loader_kwargs": [{"nope": 3}],
    },
    "differential_expression": {
        "adata": DATA,
        "groupby": ["nope", 3, None],
        "group1": ["nope", 1, True, ["batch_1", "nope"], []],
        "group2": ["nope", 1, "batch_1"],
        "idx1": [*INDICES, "nope == 3", "batch ==", [0]],
        "idx2": [[0]],
        "mode": ["foo", None],
        "delta": WEIGHT,
        "batch_size": WHOLE,
        **dict.fromkeys(("all_stats", "batch_correction", "silent", "filter_outlier_cells"), FLAG),
        "batchid1": [["batch_9"], ["batch_1"]],
        "batchid2": [["batch_9"], ["batch_1"]],
        "fdr_target": [0, 1, math.nan, "0.1"],
        "weights": ["foo", 1],
        "importance_weighting_kwargs": [3, {"max_cell": 3}, {"max_cells": 3}],
        "dataloader": [3],
        "kwargs": [
            *({"n_sample_overall": 3}, {"n_samples_overall": 0}, {"use_permutation": "no"}, {"m_permutation": 0}),
            *({"pseudocounts": -1}, {"threshold_counts": -1}, {"test_mode": "four"}),
        ],
    },
    "differential_abundance": {
        "adata": DATA,
        "sample_key": [*GROUPBY, None],
        "batch_size": [*WHOLE],
        "num_cells_posterior": WHOLE,
        "dof": POSITIVE,
        "adata_sub": DATA,
    },
    "predict": {**CELLS, "soft": FLAG, "use_posterior_mean": FLAG, "dataloader": [3]},
    "module": {
        **CHOSEN,
        **dict.fromkeys(("n_input", "n_batch", "n_labels"), WHOLE),
        "n_continuous_cov": WHOLE_OR_ZERO,
        **dict.fromkeys(("use_size_factor_key", "has_unlabeled"), FLAG),
    },
    "plan": PLAN,
    "network_graph": {
        "network": TEXT,
        "top": WHOLE,
        "regulators": ["A", ["NOPE"], [], [3]],
        "gene_symbols": SYMBOLS,
        "ax": TEXT,
    },
    "network_comparison": {
        "first": TEXT,
        "second": TEXT,
        "n_labels": WHOLE_OR_ZERO,
        "gene_symbols": SYMBOLS,
        "ax": TEXT,
    },
    "perturbation": {"result": TEXT, "n": WHOLE, "gene_symbols": SYMBOLS, "ax": TEXT},
    "regulation_heatmap": {
        "network": TEXT,
        "n_regulators": WHOLE,
        "n_targets": WHOLE,
        "gene_symbols": SYMBOLS,
        "ax": TEXT,
    },
    "regulator_ranking": {"network": TEXT, "n": WHOLE, "gene_symbols": SYMBOLS, "ax": TEXT},
    "training_curves": {"history": [3, {}], "axes": [[3, 3, 3, 3]]},
    **dict.fromkeys(("edge_volcano", "regulator_volcano"), {**COMPARED, "n_labels": WHOLE_OR_ZERO}),
    "difference_network": {**COMPARED, "top": WHOLE},
    "save": {
        "dir_path": [3, None],
        "prefix": [3, "a/b"],
        **dict.fromkeys(("overwrite", "save_anndata", "legacy_mudata_format"), FLAG),
        "save_kwargs": [3, {"pickle_protocol": 4}],
        "datamodule": [3],
        "anndata_write_kwargs": [{"over_write": True}, {"compresion": "gzip"}],
    },
    "load": {
        "dir_path": [3, None],
        "adata": [3, "cells.h5ad", True],
        "accelerator": HARDWARE["accelerator"],
        "device": DEVICE,
        "prefix": [3, "a/b"],
        "backup_url": ["https://nowhere"],
        "datamodule": [3],
        "allowed_classes_names_list": ["SCVI", [3], 3],
        "trust": FLAG,
    },
    **dict.fromkeys(("load_registry", "view_setup_args"), {"dir_path": [3, None], "prefix": [3, "a/b"], "trust": FLAG}),
    "setup_anndata": {"adata": DATA, **SETUP},
    "setup_mudata": {
        "mdata": DATA,
        **{"rna_layer" if name == "layer" else name: values for name, values in SETUP.items()},
        "modalities": ["rna", 3, {}, {"rna_layer": "nope"}, {"rna_layer": "rna", "batch": "rna"}],
    },
    "load_query_data": {
        "adata": DATA,
        "reference_model": [3, None],
        "registry": [3],
        "accelerator": HARDWARE["accelerator"],
        "device": DEVICE,
        "datamodule": [3],
        **dict.fromkeys(
            (
                *("inplace_subset_query_vars", "unfrozen", "transfer_batch", "freeze_dropout", "freeze_expression"),
                *(
                    "freeze_decoder_first_layer",
                    "freeze_batchnorm_encoder",
                    "freeze_batchnorm_decoder",
                    "freeze_classifier",
                ),
            ),
            FLAG,
        ),
    },
    "prepare_query_anndata": {
        "adata": [3],
        "reference_model": [3, None],
        "return_reference_var_names": FLAG,
        "inplace": FLAG,
    },
    "select_genes": {
        "adata": DATA,
        "n_top_genes": WHOLE,
        "keep": TEXT,
        "min_cells": WHOLE_OR_ZERO,
        "batch_key": TEXT,
        "layer": TEXT,
        **dict.fromkeys(("require_counts", "subset", "inplace"), FLAG),
    },
    "compare_networks": {"first": TEXT, "second": TEXT, "top": WHOLE_OR_ZERO},
    "rank_regulators": {"network": TEXT, "gene_symbols": SYMBOLS},
    "reference_overlap": {"network": TEXT, "reference": TEXT, "top": WHOLE},
    "regulator_activity": {
        "adata": DATA,
        "network": TEXT,
        "layer": TEXT,
        "min_targets": WHOLE,
        "key_added": ["", "a/b", "X_scdual", 3],
    },
    "regulons": {"network": TEXT, "top": WHOLE_OR_ZERO, "gene_symbols": SYMBOLS},
    "score_network": {"network": TEXT, "reference": TEXT, "regulators": ["A", ["NOPE"], [], 3]},
    "simulate": SIMULATED,
    "simulate_mudata": {
        **{name: SIMULATED[name] for name in ("n_obs", "n_vars", "seed")},
        "n_proteins": WHOLE,
        "rna_options": [{"n_regulator": 3}, {"dropout": 2}],
    },
    **dict.fromkeys(
        ("activity_dotplot", "activity_heatmap"),
        {
            "adata": DATA,
            "groupby": ["nope", 3, ["batch", "nope"], []],
            "regulators": ["A", ["NOPE"], [], [3]],
            "n_regulators": WHOLE,
            "key": TEXT,
            "gene_symbols": SYMBOLS,
            "ax": TEXT,
        },
    ),
}

ELSEWHERE: dict[str, str] = {
    "setup_annbatch": "tests/model/test_annbatch.py",
    "prepare_query_mudata": "tests/model/test_query.py",
    "pbmc68k": "no arguments",
    **dict.fromkeys(("auprc_ratio", "auroc", "balanced_sign_accuracy"), "tests/grn/test_scores.py"),
    **dict.fromkeys(("early_precision_ratio", "sign_accuracy", "sign_majority"), "tests/grn/test_scores.py"),
    **dict.fromkeys(("average_product_correction", "consensus_network"), "tests/grn/test_consensus.py"),
    **dict.fromkeys(("edge_evidence", "false_discovery_rate", "q_values"), "tests/grn/test_evidence.py"),
    **dict.fromkeys(("from_attention_layout", "from_frame", "from_varp"), "tests/grn/test_convert.py"),
    "align_networks": "tests/grn/test_align.py",
    "write_network": "tests/grn/test_export.py",
    "deregister_manager": "tests/model/test_scdual.py",
    "repeat": "tests/model/test_repeat.py",
    "get_gene_embedding": "no arguments",
    **dict.fromkeys(("view_anndata_setup", "view_registry"), "print what is there"),
    **dict.fromkeys(
        (
            *("convert_legacy_save", "data_registry", "get_anndata_manager", "get_from_registry", "get_setup_arg"),
            *("get_state_registry", "get_var_names", "register_manager", "to_device"),
            *("transfer_fields", "update_setup_method_args", "view_setup_method_args"),
        ),
        "inherited from scvi-tools, for developers",
    ),
}
"""Calls whose arguments are tested in another file, or not checked by us, and why."""

CALLED = {
    "adata": "AnnData",
    "mdata": "MuData",
    **dict.fromkeys(SETUP, "is not a column of `obs`"),
    **dict.fromkeys(("layer", "rna_layer"), "Layer"),
    **dict.fromkeys(("network", "first", "second"), "RegulatoryNetwork|network"),
}
"""What an argument may be called in place of its name."""

OTHER_ARGUMENTS = {
    "SCDual": {"prior"},  # tests/data/test_prior.py
    "module": {"regulators", "prior_strength", "prior_sign", "n_cats_per_cov"},  # made by the model
    "plan": {"module"},
    "setup_anndata": {"unlabeled_category"},  # any value may be a label
    "setup_mudata": {"unlabeled_category", "protein_layer"},
}

NEEDED: dict[str, dict[str, Any]] = {
    "load": {"adata": False, "accelerator": "cpu"},
    "load_query_data": {"accelerator": "cpu"},
    "setup_mudata": {"modalities": {"rna_layer": "rna"}},
    "select_genes": {"n_top_genes": 5, "keep": None, "inplace": False},
    **dict.fromkeys(("rank_regulators", "regulons"), {"network": NETWORK}),
    "compare_networks": {"first": NETWORK, "second": NETWORK},
    **dict.fromkeys(("reference_overlap", "score_network"), {"network": NETWORK, "reference": REFERENCE}),
    "regulator_activity": {"min_targets": 1},
    "simulate": {"n_obs": 20, "n_vars": 20, "n_regulators": 4},
    "simulate_mudata": {"n_obs": 20, "n_vars": 40, "n_proteins": 3, "n_regulators": 4},
    "train": {"max_epochs": 1, "enable_progress_bar": False},
    "train_ensemble": {"enable_progress_bar": False},
    "perturb": {"genes": {"REG01": 0}},
    "check_perturbation": {"adata": PERTURBED, "key": "gene", "control": "none"},
    "perturbation": {"result": KNOCKOUT},
    "differential_expression": {"groupby": "batch", "silent": True},
    "differential_abundance": {"sample_key": "batch"},
    "get_latent_library_size": {"give_mean": False},
    "get_marginal_ll": {"n_mc_samples": 2},
    "module": {"n_input": 9, "n_hidden": 4, "n_embed": 4},
    **dict.fromkeys(("network_graph", "regulation_heatmap", "regulator_ranking"), {"network": NETWORK}),
    "network_comparison": {"first": NETWORK, "second": NETWORK},
    "compare_conditions": {"condition_key": "batch"},
    **dict.fromkeys(("edge_volcano", "regulator_volcano", "difference_network"), {"comparison": COMPARISON}),
    **dict.fromkeys(("activity_dotplot", "activity_heatmap"), {"adata": ACTIVE, "groupby": "batch"}),
    "training_curves": {"history": {"train_loss": pd.DataFrame({"train_loss": [1.0, 0.5]})}},
    "get_importance_weights": {
        "adata": None,
        "indices": np.arange(4),
        "qz": Normal(torch.zeros(4, 20), 1.0),
        "px": Poisson(torch.ones(4, 20)),
        "zs": torch.zeros(4, 20),
    },
}

OF_DATA = {"setup_anndata", "load_query_data", "prepare_query_anndata", "select_genes", "regulator_activity"}
"""Calls that get a copy of the data of the model."""

BESIDE: dict[str, dict[str, dict[str, Any]]] = {  # where nonsense of one argument needs another to be seen
    "perturb": {"group": {"groupby": "cell_type"}, "groupby": {"group": "type_1"}},
    "differential_expression": {"group2": {"group1": "batch_1"}, "idx1": {"groupby": None, "idx2": [0]}},
}


def public(room: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name in dir(room):
        found = inspect.getattr_static(room, name)
        if not name.startswith("_") and not isinstance(found, property) and callable(getattr(room, name)):
            yield name, getattr(room, name)


ROOMS = (pp, tl, pl, grn, datasets)
CALLS: dict[str, Callable[..., Any]] = {
    "SCDual": SCDual.__init__,
    **dict(public(SCDual)),
    "module": SCDualModule.__init__,
    "plan": SCDualTrainingPlan.__init__,
    **{
        name: getattr(room, name) for room in ROOMS for name in room.__all__ if not inspect.isclass(getattr(room, name))
    },
}
CASES = [(call, argument) for call, arguments in WRONG.items() for argument in arguments]


def parameters(call: str) -> dict[str, inspect.Parameter]:
    found = inspect.signature(CALLS[call]).parameters
    return {name: parameter for name, parameter in found.items() if name != "self"}


@pytest.fixture(scope="module")
def data() -> AnnData:
    adata = simulate(N_CELLS, 20, n_regulators=4, n_batches=2, library_size=2_000)  # deep enough for edges
    adata.obs["own"] = adata.obs_names
    adata.obs["one"] = "all"
    adata.obs["mixed"] = pd.Series([1, "1"] * (N_CELLS // 2), adata.obs_names, dtype=object)
    return adata


@pytest.fixture(scope="module")
def model(data: AnnData, tmp_path_factory: pytest.TempPathFactory) -> SCDual:
    scvi.settings.seed = 0
    SCDual.setup_anndata(data, batch_key="batch", labels_key="cell_type")
    model = SCDual(data, regulators="regulator", n_hidden=8, batch_representation="embedding")
    model.train(1, enable_progress_bar=False)
    model.train_ensemble(2, enable_progress_bar=False)
    model.place = tmp_path_factory.mktemp("place")
    model.save(model.place / "model")
    return model


@pytest.fixture(scope="module")
def state(contents: Callable[[Any], Any], model: SCDual) -> Callable[[], Any]:
    """Return a function that tells everything that a call could have changed."""

    def told() -> Any:
        states = [model.module.state_dict(), *model.ensemble_, model.null_]
        flags = (model.is_trained, model.module.training, [p.requires_grad for p in model.module.parameters()])
        return contents([model.adata, states, model.history, model.registry_, flags])

    return told


@pytest.fixture(scope="module")
def before(state: Callable[[], Any]) -> Any:
    return state()


def test_every_public_call_has_a_row() -> None:
    assert set(CALLS) - set(WRONG) - set(ELSEWHERE) == set()
    assert set(WRONG) <= set(CALLS)


@pytest.mark.parametrize("call", WRONG)
def test_every_argument_has_a_row(call: str) -> None:
    assert set(parameters(call)) == set(WRONG[call]) | OTHER_ARGUMENTS.get(call, set())


@pytest.mark.parametrize(("call", "argument"), CASES)
def test_nonsense_is_named_and_changes_nothing(
    model: SCDual, state: Callable[[], Any], before: Any, call: str, argument: str
) -> None:
    is_keywords = parameters(call)[argument].kind is inspect.Parameter.VAR_KEYWORD
    for value in WRONG[call][argument]:
        wrong = value if is_keywords else {argument: value}
        given = NEEDED.get(call, {}) | BESIDE.get(call, {}).get(argument, {}) | wrong
        said = complaint(model, call, given)
        assert said is not None, f"{value!r} is taken"
        names = [rf"\b{name}\b" for name in (next(iter(wrong)), *(value if isinstance(value, dict) else ()))]
        assert re.search("|".join([*names, *filter(None, [CALLED.get(argument)])]), said), f"{value!r}: {said}"
        assert "\n" not in said, said
    assert state() == before
    plt.close("all")


def complaint(model: SCDual, call: str, given: dict[str, Any]) -> str | None:
    try:
        run(model, call, given)
    except (TypeError, ValueError, KeyError, FileNotFoundError) as error:
        return str(error)
    return None


# the last two need what only models can make
SLOW_OR_ODD = {"train", "train_ensemble", "get_importance_weights", "merge_ensembles"}


@pytest.mark.parametrize("call", [call for call in WRONG if call not in SLOW_OR_ODD])
def test_the_same_call_without_nonsense_runs(model: SCDual, call: str) -> None:
    run(model, call, NEEDED.get(call, {}))
    plt.close("all")


def run(model: SCDual, call: str, given: dict[str, Any]) -> None:
    if call == "SCDual":
        SCDual(**{"adata": model.adata, "regulators": "regulator"} | given)
    elif call == "module":
        SCDualModule(**given)
    elif call == "plan":
        SCDualTrainingPlan(model.module, **given)
    else:
        room = next((room for room in ROOMS if call in room.__all__), model)
        getattr(room, call)(**usual(model, call) | given)


def usual(model: SCDual, call: str) -> dict[str, Any]:
    """Return what a call needs of the model, its data, or its folder."""
    found = {
        "dir_path": model.place / ("saved" if call == "save" else "model"),
        "overwrite": True,
        "reference_model": model,
        "mdata": MDATA,
        "network": model.get_regulation() if call == "regulator_activity" else None,
        "adata": model.adata.copy() if call in OF_DATA else None,
    }
    return {name: value for name, value in found.items() if name in parameters(call) and value is not None}
