"""The evidence of a batch is that of cells registered in it."""

import numpy as np
import torch
from scvi import REGISTRY_KEYS

from scdual.datasets import simulate
from scdual.model import SCDual
from scdual.module import batch_evidence


def test_the_evidence_is_that_of_cells_moved_by_hand() -> None:
    cells = simulate(60, 20, n_regulators=4, n_batches=2)
    SCDual.setup_anndata(cells, batch_key="batch")
    model = SCDual(cells, regulators="regulator")
    model.train(1)
    found = batch_evidence(model.module, model._make_data_loader(cells, batch_size=7), n_batches=2)
    assert found.shape == (60, 2)
    for code, name in enumerate(("batch_1", "batch_2")):
        moved = cells.copy()
        moved.obs["batch"] = name
        tensors = next(iter(model._make_data_loader(model._validate_anndata(moved), batch_size=60)))
        with torch.no_grad():
            qz = model.module.inference(**model.module._get_inference_input(tensors))["qz"]
        z, library = qz.loc, tensors[REGISTRY_KEYS.X_KEY].sum(1, keepdim=True).log()
        covariates = torch.nn.functional.one_hot(torch.full((60,), code), 2).float()
        with torch.no_grad():
            px = model.module.generative(z=z, library=library, covariates=covariates)["px"]
            kl = -qz.entropy().sum(1) - model.module.cell_state.prior().log_prob(z)
            expected = px.log_prob(tensors[REGISTRY_KEYS.X_KEY]).sum(1) - kl
        np.testing.assert_allclose(found[:, code], expected, rtol=1e-4)
