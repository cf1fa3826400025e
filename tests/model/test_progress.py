"""Progress goes to stderr: a bar in a terminal, lines elsewhere."""

import io
import logging
import sys
from functools import partial
from types import SimpleNamespace

import pytest
from anndata import AnnData

from scdual.model import SCDual
from scdual.model import _progress as progress


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch bars on, which the tests have off."""
    room = sys.modules["scvi.utils._track"]
    monkeypatch.setattr(room, "tqdm_base", partial(room.tqdm_base, disable=False))


@pytest.fixture
def model(adata: AnnData) -> SCDual:
    SCDual.setup_anndata(adata)
    return SCDual(adata, regulators="regulator")


def epochs_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "scdual.model._progress"]


@pytest.mark.parametrize(
    ("n_total", "expected"),
    [
        (3, [1, 2, 3]),
        (10, [*range(1, 11)]),
        (25, [3, 5, 8, 10, 13, 15, 18, 20, 23, 25]),
        (200, [*range(20, 201, 20)]),
    ],
)
def test_a_line_comes_with_every_tenth(n_total: int, expected: list[int]) -> None:
    assert [n for n in range(1, n_total + 1) if progress.is_tenth(n, n_total)] == expected


def test_training_logs_a_line_with_losses_per_tenth(model: SCDual, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "scdual")
    model.train(20)
    lines = epochs_in(caplog)
    assert [line.split(",")[0] for line in lines] == [f"Epoch {n} of 20" for n in range(2, 21, 2)]
    last = {part.split()[0]: float(part.split()[1]) for part in lines[-1].split(", ")[1:]}
    for name, value in last.items():
        assert value == pytest.approx(float(model.history[name].iloc[-1, 0]), rel=1e-3)
    assert set(last) == {"train_loss", "validation_loss"}


@pytest.mark.parametrize("is_shown", [True, False])
def test_a_training_that_stops_says_why_and_leaves_stdout_alone(
    model: SCDual, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], is_shown: bool
) -> None:
    caplog.set_level(logging.INFO, "scdual")
    model.train(
        20,
        early_stopping=True,
        early_stopping_min_delta=1e9,
        early_stopping_patience=2,
        early_stopping_warmup_epochs=0,
        enable_progress_bar=is_shown,
    )
    assert len(model.history["elbo_validation"]) < 20
    said = [line for line in caplog.messages if line.startswith("Stopped")]
    assert said == ["Stopped: elbo_validation has not improved in 2 checks."] * is_shown
    assert capsys.readouterr().out == ""


def test_lines_go_to_stderr_where_logging_is_not_set_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress._logger, "hasHandlers", lambda: False)
    progress.say("Epoch 1 of 3")
    assert capsys.readouterr() == ("", "Epoch 1 of 3\n")


def test_a_training_without_progress_bar_is_silent(model: SCDual, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    model.train(2, enable_progress_bar=False)
    model.train_ensemble(2, enable_progress_bar=False)
    assert not epochs_in(caplog)


def test_a_bar_is_drawn_on_stderr_of_a_terminal(
    model: SCDual,
    bars: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "scdual")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    model.train(2)
    assert "Epoch 2/2: 100%" in terminal.getvalue()
    assert "train_loss" in terminal.getvalue()
    model.train_ensemble(2)
    assert "Learning the ensemble: 100%" in terminal.getvalue()
    assert capsys.readouterr().out == ""
    assert not epochs_in(caplog)


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_bars_of_scvi_tools_are_drawn_on_stderr_of_a_terminal_alone(
    model: SCDual,
    bars: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stream: type[io.StringIO],
) -> None:
    model.train(1, enable_progress_bar=False)
    for ask in (
        lambda: model.differential_expression(groupby="cell_type"),
        lambda: model.get_normalized_expression(silent=False),
        lambda: model.posterior_predictive_sample(silent=False),
    ):
        said = stream()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", said)
            ask()
        assert ("100%" in said.getvalue()) == (stream is Terminal)
    assert capsys.readouterr().out == ""


def test_members_of_an_ensemble_are_counted(model: SCDual, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    model.train(1, enable_progress_bar=False)
    caplog.clear()
    model.train_ensemble(2)
    assert epochs_in(caplog) == [f"Learning the ensemble: {n} of 3" for n in (1, 2, 3)]
    assert {record.name for record in caplog.records} == {"scdual.model._progress"}  # the hardware has been named once


def test_a_notebook_counts_as_a_place_for_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not progress.shows_bars()
    for config, expected in (({"IPKernelApp": {}}, True), ({}, False)):
        shell = SimpleNamespace(config=config)
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda shell=shell: shell))
        assert progress.shows_bars() == expected
    monkeypatch.setattr(sys, "stderr", None)  # as without a console on Windows
    assert not progress.shows_bars()
    progress.say("nowhere")
