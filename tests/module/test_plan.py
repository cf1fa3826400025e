"""The training plan: schedule by formula, parameter groups, training mode, scale learnt once."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning import LightningDataModule
from scvi import REGISTRY_KEYS
from scvi.train import Trainer, TrainingPlan
from torch.utils.data import DataLoader
from torchmetrics import Metric

from scdual.module import SCDualModule, SCDualTrainingPlan
from scdual.module._plan import warmup_cosine

N, G, R, N_PER_BATCH = 41, 12, 4, 8  # the last minibatch has one cell
LR, DECAY = 3e-3, 0.05


@pytest.fixture
def module() -> SCDualModule:
    sizes = {"n_hidden": 16, "n_latent": 3, "n_layers": 2, "n_embed": 8, "n_heads": 2, "n_pool": 3, "n_bins": 4}
    shares = {"dropout_rate": 0.1, "visible_share": 0.5, "target_share": 0.5}
    return SCDualModule(G, regulators=range(R), **sizes, **shares)


class Cells(LightningDataModule):
    """Random counts in minibatches; the cells of validation are deeper."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = torch.poisson(torch.rand(N, G) * 4)
        self.validation_counts = torch.poisson(torch.rand(N_PER_BATCH, G) * 40)

    def _loader(self, counts: torch.Tensor) -> DataLoader:
        batch, label = torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)
        keys = (REGISTRY_KEYS.X_KEY, REGISTRY_KEYS.BATCH_KEY, REGISTRY_KEYS.LABELS_KEY)
        cells = [dict(zip(keys, (x, batch, label), strict=True)) for x in counts]
        return DataLoader(cells, batch_size=N_PER_BATCH)

    def train_dataloader(self) -> DataLoader:
        return self._loader(self.counts)

    def val_dataloader(self) -> DataLoader:
        return self._loader(self.validation_counts)


class Watched(SCDualTrainingPlan):
    """Notes the mode of the module and the learning rate of each step."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.was_training: list[bool] = []
        self.rates: list[float] = []

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        self.was_training.append(self.module.training and self.module.cell_state.training)
        self.rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])
        return super().training_step(*args, **kwargs)


def fit(plan: SCDualTrainingPlan, cells: Cells, max_epochs: int) -> None:
    trainer = Trainer(
        max_epochs=max_epochs,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        check_val_every_n_epoch=1,
    )
    trainer.fit(plan, datamodule=cells)


def configured(plan: SCDualTrainingPlan, n_steps: int) -> dict[str, Any]:
    plan.trainer = SimpleNamespace(estimated_stepping_batches=n_steps, precision_plugin=None)
    return plan.configure_optimizers()


def schedule_of(n_warmup: int, n_steps: int) -> list[float]:
    rising = [(step + 1) / n_warmup for step in range(n_warmup)]
    rest = n_steps - n_warmup
    return rising + [math.cos(0.5 * math.pi * step / rest) ** 2 for step in range(rest)]  # = (1 + cos 2x) / 2


# ---- schedule ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_warmup", "n_steps"), [(1, 5), (4, 40), (50, 2000)])
def test_rate_rises_linearly_then_falls_as_half_a_cosine(n_warmup: int, n_steps: int) -> None:
    found = [warmup_cosine(step, n_warmup=n_warmup, n_steps=n_steps) for step in range(n_steps)]
    assert found == pytest.approx(schedule_of(n_warmup, n_steps), abs=1e-12)
    assert max(found) == found[n_warmup - 1] == 1
    assert min(found) > 0


def test_rate_is_zero_after_the_last_step() -> None:
    assert warmup_cosine(40, n_warmup=4, n_steps=40) == pytest.approx(0)
    assert warmup_cosine(400, n_warmup=4, n_steps=40) == pytest.approx(0)
    assert warmup_cosine(3, n_warmup=3, n_steps=3) == 1  # no step is left to fall


@pytest.mark.parametrize(("n_steps", "n_warmup"), [(3, 1), (60, 6), (1000, 20)])
def test_at_most_a_tenth_of_the_steps_warms_up(module: SCDualModule, n_steps: int, n_warmup: int) -> None:
    found = configured(SCDualTrainingPlan(module, lr=LR, n_steps_warmup=20), n_steps)
    assert found["lr_scheduler"]["interval"] == "step"
    optimizer, scheduler, rates = found["optimizer"], found["lr_scheduler"]["scheduler"], []
    for _ in range(n_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([LR * factor for factor in schedule_of(n_warmup, n_steps)])


# ---- optimiser --------------------------------------------------------------------------------------------------------


def settings_of(module: SCDualModule, optimizer: torch.optim.Optimizer) -> dict[str, tuple[float, float]]:
    """Return the share of the learning rate and the decay of each parameter."""
    name_of = {parameter: name for name, parameter in module.named_parameters()}
    groups = optimizer.param_groups
    found = {name_of[p]: (group["initial_lr"] / LR, group["weight_decay"]) for group in groups for p in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(found) == len(name_of)
    return found


def test_tables_and_vectors_are_not_decayed(module: SCDualModule) -> None:
    optimizer = configured(SCDualTrainingPlan(module, lr=LR, weight_decay=DECAY), 100)["optimizer"]
    assert isinstance(optimizer, torch.optim.AdamW)
    found = settings_of(module, optimizer)
    tables = ("gene_embedding.weight", "regulation_decoder.effects.categorical.0", "gate.pair_offset")
    tables = tuple(f"map.{name}" for name in tables)
    for name, parameter in module.named_parameters():
        is_table = parameter.ndim <= 1 or name in tables
        if name.startswith("map.") and not name.startswith("map.expr_embedding"):
            assert found[name][1] == (0 if is_table or name.endswith("effects.continuous") else DECAY), name
    assert found["cell_state.decoder.proportion_proj.weight"][1] == DECAY
    assert found["cell_state.pooling_effects.categorical.0"][1] == found["cell_state.pooling.gene_value"][1] == 0
    assert {group["eps"] for group in optimizer.param_groups} == {1e-8}


def test_the_cell_state_learns_fast_and_the_start_of_the_gate_slowly_in_every_step(module: SCDualModule) -> None:
    found = configured(SCDualTrainingPlan(module, lr=LR, n_steps_warmup=4), 60)
    optimizer, scheduler = found["optimizer"], found["lr_scheduler"]["scheduler"]
    share = {name: share for name, (share, _) in settings_of(module, optimizer).items()}
    for name, value in share.items():
        expected = 10 / 3 if name.startswith("cell_state") else 0.1 if name == "map.gate.pair_offset" else 1.0
        assert value == pytest.approx(expected), name
    start = [group["initial_lr"] for group in optimizer.param_groups]
    for factor in schedule_of(4, 60):
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([lr * factor for lr in start])
        optimizer.step()
        scheduler.step()


def test_every_beginning_the_module_names_exists(module: SCDualModule) -> None:
    names = [name for name, _ in module.named_parameters()]
    optional = {"_embeddings_dict", "classifier"}
    for beginning in {*module.table_names, *module.warm_started_names, *module.embedding_names} - optional:
        assert any(name.startswith(beginning) for name in names), beginning


def test_frozen_parameters_are_left_out(module: SCDualModule) -> None:
    module.map.gene_embedding.weight.requires_grad_(False)
    optimizer = configured(SCDualTrainingPlan(module), 100)["optimizer"]
    assert not any(p is module.map.gene_embedding.weight for group in optimizer.param_groups for p in group["params"])


def test_unknown_argument_is_refused(module: SCDualModule) -> None:
    with pytest.raises(TypeError, match="n_epochs_kl_warmup"):
        SCDualTrainingPlan(module, n_epochs_kl_warmup=3)


@pytest.mark.parametrize(("step", "expected"), [(0, 0.0), (5, 0.25), (20, 1.0), (100, 1.0)])
def test_weight_of_the_kl_divergence_rises_by_step(
    module: SCDualModule, monkeypatch: pytest.MonkeyPatch, step: int, expected: float
) -> None:
    monkeypatch.setattr(SCDualTrainingPlan, "global_step", step)
    plan = SCDualTrainingPlan(module, n_steps_kl_warmup=20, max_kl_weight=1.0)
    plan.trainer = SimpleNamespace(current_epoch=50, global_step=step)
    assert plan.kl_weight == pytest.approx(expected)


# ---- fits -------------------------------------------------------------------------------------------------------------


def test_module_trains_in_training_mode_in_every_fit(module: SCDualModule) -> None:
    cells, n_steps = Cells(), 2 * math.ceil(N / N_PER_BATCH)
    for _ in range(2):
        plan = Watched(module, lr=LR, n_steps_warmup=20)
        fit(plan, cells, max_epochs=2)
        assert plan.was_training == [True] * n_steps
        assert plan.rates == pytest.approx([LR * factor for factor in schedule_of(1, n_steps)])
        module.eval()  # as scvi-tools does after a fit


def test_scale_is_learnt_once_from_training_and_validation_cells(module: SCDualModule) -> None:
    cells = Cells()
    fit(SCDualTrainingPlan(module, lr=LR), cells, max_epochs=1)
    assert module.is_scaled
    counts = torch.cat([cells.counts, cells.validation_counts])
    log_library_size = counts.sum(1).clamp_min(1).log().mean()
    torch.testing.assert_close(module.map.values.scale.log_library_size, log_library_size)
    deeper = Cells()
    deeper.counts = deeper.counts * 10
    fit(SCDualTrainingPlan(module, lr=LR), deeper, max_epochs=1)
    torch.testing.assert_close(module.map.values.scale.log_library_size, log_library_size)


def test_a_fit_moves_every_parameter_in_use(module: SCDualModule) -> None:
    before = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    fit(SCDualTrainingPlan(module, lr=LR), Cells(), max_epochs=2)
    still = {name for name, parameter in module.named_parameters() if torch.equal(parameter, before[name])}
    assert all(name.endswith("effects.continuous") for name in still)  # there is no continuous covariate


@pytest.mark.parametrize(("map_every", "expected"), [(1, [1] * 6), (4, [3, 0, 0, 0, 3, 0]), (9, [6, 0, 0, 0, 0, 0])])
def test_the_map_learns_from_every_few_minibatches_for_all(
    module: SCDualModule, monkeypatch: pytest.MonkeyPatch, map_every: int, expected: list[int]
) -> None:
    weights, loss = [], SCDualModule.loss

    def watched(self: SCDualModule, *args: Any, **kwargs: Any) -> Any:
        if self.training:
            weights.append(kwargs["map_weight"])

        return loss(self, *args, **kwargs)

    monkeypatch.setattr(SCDualModule, "loss", watched)
    plan = SCDualTrainingPlan(module, lr=LR, map_every=map_every)
    fit(plan, Cells(), max_epochs=2)
    assert weights == expected * 2
    assert {"regulation_loss_train", "regulation_loss_validation"} <= set(plan.trainer.logged_metrics)


def test_a_minibatch_may_stand_for_several_without_a_larger_step(module: SCDualModule) -> None:
    cells = next(iter(Cells().train_dataloader()))
    module.fit_scale([cells])
    module.eval()
    losses, grads = [], []
    for weight in (0.0, 1.0, 3.0):
        module.zero_grad()
        torch.manual_seed(0)
        loss = module(cells, loss_kwargs={"map_weight": weight})[2].loss
        loss.backward()
        losses.append(loss.item())
        grads.append(module.map.gate.pair_offset.grad)
    assert losses[2] - losses[0] == pytest.approx(3 * (losses[1] - losses[0]), rel=1e-4)
    assert grads[0] is None
    torch.testing.assert_close(grads[1], grads[2])


def test_what_is_logged_is_the_mean_over_cells(module: SCDualModule) -> None:
    """The last of the minibatches has one cell, and the map learns from the first and the fifth of six."""
    seen: dict[str, list[tuple[float, int]]] = {}

    class Noted(SCDualTrainingPlan):
        def log(self, name: str, value: Any, *args: Any, **kwargs: Any) -> None:
            if self.current_epoch == 1 and not isinstance(value, Metric):
                seen.setdefault(name, []).append((torch.as_tensor(value).item(), self._n_cells))
            super().log(name, value, *args, **kwargs)

    fit(plan := Noted(module, lr=LR), Cells(), max_epochs=2)
    found = plan.trainer.logged_metrics
    assert len(seen["train_loss"]) == 6
    assert len(seen["regulation_loss_train"]) == 2
    for name in ("train_loss", "validation_loss", "regulation_loss_train", "edge_sparsity_validation"):
        values, n_cells = zip(*seen[name], strict=True)
        expected = sum(value * n for value, n in zip(values, n_cells, strict=True)) / sum(n_cells)
        assert found[name].item() == pytest.approx(expected, rel=1e-5)


HOOKS = (
    "setup",
    "on_fit_start",
    "on_train_start",
    "on_train_epoch_start",
    "training_step",
    "on_validation_epoch_start",
    "validation_step",
    "on_validation_epoch_end",
    "on_train_end",
    "log",
)


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_does_the_work_of_its_parent_too(
    module: SCDualModule, monkeypatch: pytest.MonkeyPatch, hook: str
) -> None:
    calls, parents_hook = [], getattr(TrainingPlan, hook)

    def counted(self: object, *args: object, **kwargs: object) -> object:
        calls.append(hook)
        return parents_hook(self, *args, **kwargs)

    monkeypatch.setattr(TrainingPlan, hook, counted, raising=False)
    fit(SCDualTrainingPlan(module, lr=LR), Cells(), max_epochs=1)
    assert calls


def test_every_hook_that_is_overridden_is_tested() -> None:
    own = {name for name, value in vars(SCDualTrainingPlan).items() if callable(value) and hasattr(TrainingPlan, name)}
    replaced = {"configure_optimizers"}  # on purpose: another optimiser
    assert {name for name in own if not name.startswith("__")} - replaced == set(HOOKS)
