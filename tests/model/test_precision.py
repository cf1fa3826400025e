"""Training may use half the bits where that does no harm; likelihoods, and all that is read out, keep theirs."""

from typing import Any

import numpy as np
import pytest
import scvi
import torch
from anndata import AnnData
from lightning.pytorch import Callback

from scdual.datasets import simulate
from scdual.model import SCDual


class Spy(Callback):
    """Remember the type of what the module says of each minibatch."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, torch.dtype]] = set()

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        module = pl_module.module

        def look(_: object, __: object, outputs: Any) -> None:
            inferred, generated, loss = outputs
            found = {
                "product": module.classifier(inferred["z"]).dtype,
                "mean": inferred["qz"].loc.dtype,
                "sd": inferred["qz"].scale.dtype,
                "likelihood": generated["px"].mu.dtype,
                "dispersion": generated["px"].theta.dtype,
                "proportion": generated["px"].scale.dtype,
                "loss": loss.loss.dtype,
                "kl": loss.kl_local["kl_divergence_z"].dtype,
                "weight": next(module.parameters()).dtype,
            }
            self.seen |= set(found.items())

        self.hook = module.register_forward_hook(look)

    def on_train_end(self, *_: Any) -> None:
        self.hook.remove()


def trained(data: AnnData, *, callbacks: list[Callback] | None = None, **options: Any) -> SCDual:
    scvi.settings.seed = 0
    SCDual.setup_anndata(data, batch_key="batch", labels_key="cell_type")
    model = SCDual(data, regulators="regulator", gene_likelihood=options.pop("gene_likelihood", "nb"))
    model.train(6, batch_size=64, enable_progress_bar=False, callbacks=callbacks, **options)
    return model


@pytest.fixture(scope="module")
def full() -> SCDual:
    return trained(simulate(200, 60, n_regulators=8, n_batches=2))


def test_mixed_precision_keeps_likelihood_posterior_and_weights_whole() -> None:
    spy = Spy()
    trained(simulate(200, 60, n_regulators=8, n_batches=2), precision="bf16-mixed", callbacks=[spy])
    halved = {name for name, dtype in spy.seen if dtype is torch.bfloat16}
    assert halved == {"product"}


@pytest.mark.parametrize("gene_likelihood", ["nb", "zinb", "poisson"])
def test_mixed_precision_trains_and_is_read_out_in_full(gene_likelihood: str) -> None:
    data = simulate(200, 60, n_regulators=8, n_batches=2)
    model = trained(data, precision="bf16-mixed", gene_likelihood=gene_likelihood)
    for name, curve in model.history.items():
        assert np.isfinite(curve.to_numpy(dtype=float)).all(), name
    latent, network = model.get_latent_representation(), model.get_regulation()
    assert latent.dtype == np.float32
    assert network.evidence.sd.dtype == np.float32
    mean, _ = model.get_latent_representation(return_dist=True)
    assert len(np.unique(mean.view(np.uint32) & 0xFFFF)) > 100  # bits that bfloat16 does not have
    assert all(values.dtype != torch.bfloat16 for values in model.module.state_dict().values())


def test_mixed_precision_ends_near_full_precision(full: SCDual) -> None:
    mixed = trained(simulate(200, 60, n_regulators=8, n_batches=2), precision="bf16-mixed")
    np.testing.assert_array_equal(mixed.get_regulation().weight, full.get_regulation().weight)  # learnt in full
    for key in ("train_loss", "validation_loss"):
        np.testing.assert_allclose(
            mixed.history[key].to_numpy(dtype=float), full.history[key].to_numpy(dtype=float), rtol=0.01
        )


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.filterwarnings("ignore:Sparse invariant checks are implicitly disabled")
def test_sparse_minibatches_give_the_same_weights(full: SCDual) -> None:
    model = trained(simulate(200, 60, n_regulators=8, n_batches=2), load_sparse_tensor=True)
    for name, expected in full.module.state_dict().items():
        torch.testing.assert_close(model.module.state_dict()[name], expected, msg=name)
