"""Predict labels of cells.

Dimension key
    C  cells      L  labels
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scvi import REGISTRY_KEYS

from scdual._checks import check_flag
from scdual.model._cells import cell_positions, check_cells
from scdual.model._inherited import InheritedMixin


class LabelMixin(InheritedMixin):
    """The method of SCDual that predicts labels."""

    @torch.inference_mode()
    def predict(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        soft: bool = False,
        batch_size: int | None = None,
        use_posterior_mean: bool = True,
        dataloader: Iterable[dict[str, torch.Tensor]] | None = None,
    ) -> np.ndarray | pd.DataFrame:
        """Return the predicted label of each cell, as scANVI does.

        Parameters
        ----------
        adata
            Data with the genes of the model; None takes the data it was built with.
        indices
            Positions of the cells; None takes all.
        soft
            Whether to return the probability of each label.
        batch_size
            Cells per minibatch.
        use_posterior_mean
            Whether to classify the mean of the latent state, not a sample of it.
        dataloader
            Minibatches in place of ``adata``.

        Returns
        -------
        Labels ``(C,)``, or with ``soft`` a table of probabilities ``(C, L)``.

        Raises
        ------
        RuntimeError
            If the model is not trained.
        TypeError, ValueError
            If fewer than two labels were registered, an argument is wrong, or both ``adata`` and ``dataloader`` are given.
        """
        self._check_if_trained(warn=False)
        if self.module.classifier is None:
            msg = (
                "The model was set up with fewer than two labels, so there is nothing to predict; "
                "name a column of `obs` with `labels_key` of `setup_anndata`, and train again."
            )
            raise ValueError(msg)
        check_cells(adata, indices, batch_size, dataloader)
        check_flag("soft", soft)
        check_flag("use_posterior_mean", use_posterior_mean)
        if dataloader is None:
            adata = self._validate_anndata(adata)
            dataloader = self._make_data_loader(adata=adata, indices=indices, batch_size=batch_size)
        parts = [self.module.classify(tensors, use_posterior_mean=use_posterior_mean).cpu() for tensors in dataloader]
        probability = torch.cat(parts).numpy()  # (C, L)
        labels = np.asarray(self._state(REGISTRY_KEYS.LABELS_KEY)["categorical_mapping"])[: self.module.n_classes]
        if not soft:
            return labels[probability.argmax(1)]
        names = None
        if adata is not None:
            names = adata.obs_names if indices is None else adata.obs_names[cell_positions(adata, indices)]
        return pd.DataFrame(probability, index=names, columns=labels)
