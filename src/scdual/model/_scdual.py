"""The class that users meet."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scvi import REGISTRY_KEYS

from scdual._checks import argument_names, check_keywords, check_type
from scdual._types import Dispersion, GeneLikelihood
from scdual._warning import warn
from scdual.data._categories import (
    CategoryField,
    JointCategoryField,
    LabelField,
    MuDataCategoryField,
    MuDataJointCategoryField,
    MuDataLabelField,
)
from scdual.data._fields import (
    GeneLayerField,
    MuDataGeneLayerField,
    MuDataPositiveObsField,
    MuDataScaledJointObsField,
    PositiveObsField,
    ScaledJointObsField,
)
from scdual.data._manager import CellManager
from scdual.data._prior import PriorNetwork, align_prior, prior_table
from scdual.data._regulators import resolve_regulators
from scdual.grn._edges import EdgeTable
from scdual.model._annotate import AnnotationMixin
from scdual.model._check_perturbation import PerturbationCheckMixin
from scdual.model._conditions import ConditionMixin
from scdual.model._datamodule import check_no_collection, own_registry
from scdual.model._differential_expression import DifferentialExpressionMixin
from scdual.model._ensemble_networks import EnsembleNetworksMixin
from scdual.model._io import SavingMixin
from scdual.model._labels import LabelMixin
from scdual.model._map_memory import check_held
from scdual.model._query import QueryMixin
from scdual.model._record import first_record, generator_state
from scdual.model._regulator_report import RegulatorReportMixin
from scdual.model._repeat import RepeatMixin
from scdual.model._scvi import FIELD_REGISTRIES_KEY, SETUP_ARGS_KEY, SETUP_METHOD_KEY, STATE_REGISTRY_KEY
from scdual.model._setup_arguments import check_keys, check_modalities, check_no_view
from scdual.module import MODULE_CHECKS, SCDualModule, check_module

_TRANSFER_KEYWORDS = ("source_registry", "extend_categories", "allow_missing_labels")


class SCDual(
    ConditionMixin,
    PerturbationCheckMixin,
    RegulatorReportMixin,
    EnsembleNetworksMixin,
    AnnotationMixin,
    DifferentialExpressionMixin,
    LabelMixin,
    QueryMixin,
    SavingMixin,
    RepeatMixin,
):
    """Dual-branch transformer that learns a cell embedding and a signed regulatory map from counts.

    Parameters
    ----------
    adata
        Data registered with :meth:`setup_anndata` or :meth:`setup_mudata`.
    regulators
        Genes that may regulate. One of:

        * ``'auto'`` - transcription factors by gene family, the organism guessed from the gene names; if that fails, the
          500 genes that vary most, with a warning
        * ``'human'``, ``'mouse'`` - transcription factors of that organism
        * a list of gene names, or the name of a boolean column of ``var``
        * ``None`` - every gene
    prior
        Known edges that bias attention and map as far as the data bear them out: a table ``source, target[, weight]`` as in
        decoupler, or the path of a CSV or TSV file. The sign of the weight, or a column ``sign`` or ``mor``, is the sign of
        the regulation.
    registry
        Registry of a datamodule, for training without AnnData; see :meth:`train`.
    n_hidden
        Width of the count decoder.
    n_latent
        Dimensions of the cell embedding.
    n_layers
        Transformer blocks of each branch.
    gene_likelihood
        Distribution of the counts: negative binomial, zero-inflated negative binomial or Poisson.
    dispersion
        What shares an inverse dispersion: all cells of a ``'gene'``, those of a batch (``'gene-batch'``) or of a label
        (``'gene-label'``), or none (``'gene-cell'``).
    dropout_rate
        Share of the expressed genes hidden from the encoder in training, and dropout of its transformer. None is 0.5,
        and less for few genes: below 1,000 down to 0.2, below 1,500 of a single batch down to 0.05.
    min_cells
        Cells in which a regulator has to be expressed to have edges; 3 is scanpy's usual filter of genes. Errors of the
        edges are trusted with so few because cells that decide an edge alone make its errors large.
    **module_kwargs
        Further arguments of :class:`~scdual.module.SCDualModule`, such as ``n_embed``, ``n_heads`` or ``n_bins``.

    Raises
    ------
    ValueError, TypeError
        If an argument is none of its choices, out of range, or unknown; nothing has been changed then.

    Examples
    --------
    >>> import scdual
    >>> from scdual.model import SCDual
    >>> adata = scdual.datasets.pbmc68k()
    >>> SCDual.setup_anndata(adata)
    >>> model = SCDual(adata, regulators="human")
    >>> model.train()
    >>> adata.obsm["X_scdual"] = model.get_latent_representation()
    >>> model.get_regulation().to_frame(top=10)
    """

    _module_cls = SCDualModule

    def __init__(  # noqa: PLR0913 - what users choose most, by name
        self,
        adata: AnnData | MuData | None = None,
        regulators: str | Sequence[str] | None = "auto",
        prior: EdgeTable | None = None,
        registry: dict[str, Any] | None = None,
        *,
        n_hidden: int = 128,
        n_latent: int = 20,
        n_layers: int = 1,
        gene_likelihood: GeneLikelihood = "nb",
        dispersion: Dispersion = "gene",
        dropout_rate: float | None = None,
        min_cells: int = 3,
        **module_kwargs: Any,
    ) -> None:
        generator = generator_state()
        self._module_kwargs = {
            "n_hidden": n_hidden,
            "n_latent": n_latent,
            "n_layers": n_layers,
            "gene_likelihood": gene_likelihood,
            "dispersion": dispersion,
            "dropout_rate": dropout_rate,
            "min_cells": min_cells,
            **module_kwargs,
        }
        check_type("adata", adata, AnnData, MuData, optional=True)
        check_type("registry", registry, dict, optional=True)
        check_keywords(self._module_kwargs, [*MODULE_CHECKS, "regulators", "prior"], where="`SCDual`")
        check_module({**(self._module_cls.__init__.__kwdefaults__ or {}), **self._module_kwargs})
        if registry is not None and adata is None:
            registry = own_registry(registry, model_name=type(self).__name__)
        super().__init__(adata, registry)
        self._is_built_from_data = adata is not None  # a model without adopts those that it is given first
        if adata is not None:
            self._validate_anndata(adata, copy_if_view=False)
        elif "columns" in (covariates := self._state(REGISTRY_KEYS.CONT_COVS_KEY)) and "mean" not in covariates:
            warn(
                "The registry has no scale of its continuous covariates, so they are taken as they are; standardise them."
            )
        gene_names = pd.Index(np.asarray(self._state(REGISTRY_KEYS.X_KEY)["column_names"]).astype(str))
        counts = None if adata is None else self.adata_manager.get_from_registry(REGISTRY_KEYS.X_KEY)
        regulator_index = resolve_regulators(regulators, gene_names, self._var_table(), counts=counts)
        check_held(len(gene_names), len(regulator_index))
        self.gene_names_ = list(gene_names)
        self.regulators_ = list(gene_names[regulator_index])
        known = None if prior is None else align_prior(prior, gene_names, regulator_index)
        self._new_module = partial(
            self._module_cls,
            len(gene_names),
            regulators=regulator_index.tolist(),
            **_prior_tensors(known),
            **self._covariate_sizes(),
            **self._module_kwargs,
        )
        self.module = self._new_module()
        self.ensemble_, self.null_ = [], {}
        self._model_summary_string = (
            f"SCDual with {len(gene_names)} genes, {len(self.regulators_)} of them regulators, and parameters "
            f"{', '.join(f'{key}: {value}' for key, value in self._module_kwargs.items())}."
        )
        self.init_params_ = self._get_init_params(locals())
        # What was resolved is saved, not the wish: `var` columns need not be there when the model is loaded.
        self.init_params_["non_kwargs"]["regulators"] = self.regulators_
        if known is not None:
            self.init_params_["non_kwargs"]["prior"] = prior_table(known, self.gene_names_, self.regulators_)
        self.record_ = first_record(self, generator)

    @property
    def gene_names(self) -> list[str]:
        """Names of all genes, in the order of the data."""
        return self.gene_names_

    @property
    def regulators(self) -> list[str]:
        """Names of the genes that may regulate."""
        return self.regulators_

    @classmethod
    def setup_anndata(
        cls,
        adata: AnnData,
        layer: str | None = None,
        batch_key: str | None = None,
        labels_key: str | None = None,
        size_factor_key: str | None = None,
        categorical_covariate_keys: list[str] | None = None,
        continuous_covariate_keys: list[str] | None = None,
        unlabeled_category: str | None = None,
        require_counts: bool = True,
        **kwargs: Any,
    ) -> None:
        """Register the counts and covariates of an AnnData.

        Parameters
        ----------
        adata
            Cells by genes with raw counts. Rows are cells.
        layer
            Layer that holds the counts; None takes ``X``.
        batch_key
            Column of ``obs`` with the experiment of each cell.
        labels_key
            Column of ``obs`` with cell-type labels, which :meth:`predict` learns.
        size_factor_key
            Column of ``obs`` with size factors, which replace the library size, so of its order of magnitude.
        categorical_covariate_keys, continuous_covariate_keys
            Columns of ``obs`` whose effect is removed from the embedding. Continuous ones may have any unit: the model
            sees them with mean 0 and standard deviation 1, and new data on the same scale.
        unlabeled_category
            Label that stands for cells without one.
        require_counts
            Whether values that are no integers are an error. False insists on data that are no counts, such as
            simulated real values or estimated counts.
        **kwargs
            ``source_registry``, the registry of a model whose categories count, and with it ``extend_categories`` and
            ``allow_missing_labels``.

        Raises
        ------
        ValueError
            If values are no counts, gene names repeat, a column has gaps, or ``adata`` is a view. The data stay as they
            were.
        KeyError
            If a layer or column does not exist.
        """
        setup_method_args = cls._get_setup_method_args(**locals())
        check_no_collection(adata)
        if not isinstance(adata, AnnData):
            msg = f"`setup_anndata` expects an AnnData but got {type(adata).__name__}; use `setup_mudata` for MuData."
            raise TypeError(msg)
        check_keys(setup_method_args[SETUP_ARGS_KEY])
        anndata_fields = [
            GeneLayerField(REGISTRY_KEYS.X_KEY, layer, require_counts=require_counts),
            CategoryField(REGISTRY_KEYS.BATCH_KEY, batch_key),
            LabelField(REGISTRY_KEYS.LABELS_KEY, labels_key, unlabeled_category),
            PositiveObsField(REGISTRY_KEYS.SIZE_FACTOR_KEY, size_factor_key, required=False),
            JointCategoryField(REGISTRY_KEYS.CAT_COVS_KEY, categorical_covariate_keys),
            ScaledJointObsField(REGISTRY_KEYS.CONT_COVS_KEY, continuous_covariate_keys),
        ]
        cls._register(anndata_fields, setup_method_args, adata, **kwargs)

    @classmethod
    def setup_mudata(  # noqa: PLR0913 - those of setup_anndata
        cls,
        mdata: MuData,
        rna_layer: str | None = None,
        protein_layer: str | None = None,
        batch_key: str | None = None,
        labels_key: str | None = None,
        size_factor_key: str | None = None,
        categorical_covariate_keys: list[str] | None = None,
        continuous_covariate_keys: list[str] | None = None,
        unlabeled_category: str | None = None,
        modalities: Mapping[str, str] | None = None,
        require_counts: bool = True,
        **kwargs: Any,
    ) -> None:
        """Register the RNA counts of a MuData, and covariates of either level.

        Parameters
        ----------
        mdata
            Data whose modalities hold the same cells.
        rna_layer
            Layer of the RNA modality that holds the counts; None takes ``X``.
        protein_layer
            Accepted so that calls written for totalVI run; proteins are not modelled, and a warning says so.
        batch_key, labels_key, size_factor_key, categorical_covariate_keys, continuous_covariate_keys, unlabeled_category
            As in :meth:`setup_anndata`.
        modalities
            Modality of each argument, such as ``{"rna_layer": "rna", "batch_key": "rna"}``; an argument that is not
            named is looked up in ``mdata.obs``.
        require_counts
            As in :meth:`setup_anndata`.
        **kwargs
            As in :meth:`setup_anndata`.

        Raises
        ------
        ValueError
            If ``modalities`` does not name the RNA modality, or the data are not valid counts.
        """
        setup_method_args = cls._get_setup_method_args(**locals())
        if not isinstance(mdata, MuData):
            msg = f"`setup_mudata` expects a MuData but got {type(mdata).__name__}; use `setup_anndata` for AnnData."
            raise TypeError(msg)
        named = check_modalities(modalities, list(mdata.mod), argument_names(cls.setup_mudata))
        if protein_layer is not None or "protein_layer" in named:
            warn("Proteins are not modelled yet: the protein layer is ignored, embedding and map come from the RNA.")
        check_keys(setup_method_args[SETUP_ARGS_KEY])
        where = cls._create_modalities_attr_dict(named, setup_method_args)
        mudata_fields = [
            MuDataGeneLayerField(
                REGISTRY_KEYS.X_KEY,
                rna_layer,
                require_counts=require_counts,
                mod_key=where.rna_layer,
                mod_required=True,
            ),
            MuDataCategoryField(REGISTRY_KEYS.BATCH_KEY, batch_key, mod_key=where.batch_key),
            MuDataLabelField(REGISTRY_KEYS.LABELS_KEY, labels_key, unlabeled_category, mod_key=where.labels_key),
            MuDataPositiveObsField(
                REGISTRY_KEYS.SIZE_FACTOR_KEY, size_factor_key, mod_key=where.size_factor_key, required=False
            ),
            MuDataJointCategoryField(
                REGISTRY_KEYS.CAT_COVS_KEY, categorical_covariate_keys, mod_key=where.categorical_covariate_keys
            ),
            MuDataScaledJointObsField(
                REGISTRY_KEYS.CONT_COVS_KEY, continuous_covariate_keys, mod_key=where.continuous_covariate_keys
            ),
        ]
        cls._register(mudata_fields, setup_method_args, mdata, **kwargs)

    @classmethod
    def _register(
        cls, data_fields: list[Any], setup_method_args: dict[str, Any], data: AnnData | MuData, **kwargs: Any
    ) -> None:
        check_no_view(data)
        method = setup_method_args[SETUP_METHOD_KEY]
        own = argument_names(getattr(cls, method))
        check_keywords(kwargs, _TRANSFER_KEYWORDS, where=f"`{method}`", own=own)
        lonely = [name for name in kwargs if name != "source_registry"]
        if lonely and kwargs.get("source_registry") is None:
            msg = f"`{lonely[0]}` has no effect without `source_registry`, the registry of a model. Pass both, or neither."
            raise TypeError(msg)
        adata_manager = CellManager(fields=data_fields, setup_method_args=setup_method_args)
        adata_manager.register_fields(data, **kwargs)
        cls.register_manager(adata_manager)

    def _state(self, key: str) -> dict[str, Any]:
        """Return what the registry says about a field, empty when it is not used."""
        return self.registry_[FIELD_REGISTRIES_KEY].get(key, {}).get(STATE_REGISTRY_KEY, {})

    def _covariate_sizes(self) -> dict[str, Any]:
        return {
            "n_batch": self.summary_stats.n_batch,
            "n_labels": self.summary_stats.n_labels,
            "n_continuous_cov": self.summary_stats.get("n_extra_continuous_covs", 0),
            "n_cats_per_cov": list(self._state(REGISTRY_KEYS.CAT_COVS_KEY).get("n_cats_per_key", [])),
            "use_size_factor_key": bool(self.registry_[SETUP_ARGS_KEY].get("size_factor_key")),
            "has_unlabeled": self.registry_[SETUP_ARGS_KEY].get("unlabeled_category") is not None,
        }


def _prior_tensors(prior: PriorNetwork | None) -> dict[str, Any]:
    if prior is None:
        return {"prior_strength": None, "prior_sign": None}
    return {"prior_strength": torch.from_numpy(prior.strength), "prior_sign": torch.from_numpy(prior.sign)}
