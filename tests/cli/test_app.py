"""The command line as a whole: help, version, exit codes, speed of the start."""

import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from scdual import __version__
from scdual.cli import main
from scdual.cli._app import app


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"scdual {__version__}\n")


@pytest.mark.parametrize("command", ["demo", "fit", "edges", "info", "perturb"])
def test_every_command_has_help(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.stdout
    assert command in CliRunner().invoke(app, ["--help"]).stdout


def test_unknown_command_is_wrong_usage() -> None:
    result = CliRunner().invoke(app, ["train"])
    assert result.exit_code == 2
    assert "train" in result.stderr


def test_main_ends_with_the_exit_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["scdual", "info", "nope.h5ad"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    assert capsys.readouterr().err.startswith("Error: nope.h5ad does not exist")


def test_interruption_while_packages_are_loaded_is_quiet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("scdual.cli._app.app", interrupted)
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 130
    assert capsys.readouterr().err == "\nInterrupted: no file was changed.\n"


def test_help_loads_nothing_heavy() -> None:
    heavy = {"anndata", "matplotlib", "numpy", "pandas", "scanpy", "scvi", "torch"}
    code = f"import sys, scdual.cli; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(("given", "used"), [(None, "passive"), ("active", "active")])
def test_threads_sleep_while_they_wait_unless_told_otherwise(
    given: str | None, used: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_WAIT_POLICY", given)
    seen = []
    monkeypatch.setattr("scdual.cli._app.app", lambda: seen.append(os.environ["OMP_WAIT_POLICY"]))
    main()
    assert seen == [used]
