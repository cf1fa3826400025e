"""Expected errors and Ctrl+C are one line on stderr; bugs keep their traceback."""

import warnings

import pytest
import typer

from scdual.cli._errors import as_options, one_line_errors, tell_if_interrupted


def failing(error: BaseException) -> object:
    def command() -> None:
        raise error

    return one_line_errors(command)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("two\n  lines"), "two lines"),
        (KeyError("'batch' is not in obs"), "'batch' is not in obs"),
        (FileNotFoundError(2, "No such file", "a.csv"), "[Errno 2] No such file: 'a.csv'"),
        (ModuleNotFoundError("igraph not found"), "igraph not found"),
        (ValueError("gene \x1b[2J\x07"), r"gene \x1b[2J\x07"),
        (ValueError(), "ValueError"),
        (KeyError(), "KeyError"),
    ],
)
def test_expected_error_is_one_line_and_exit_code_one(
    error: Exception, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as stop:
        failing(error)()
    assert stop.value.exit_code == 1
    captured = capsys.readouterr()
    assert captured.err == f"Error: {line}\n"
    assert captured.out == ""


@pytest.mark.parametrize(
    ("python", "options"),
    [
        (
            "counts in `layer=`, or insist with `require_counts=False`",
            "counts in `--layer`, or insist with `--no-require-counts`",
        ),
        (
            "`regulators='human'` or 'mouse', a list of gene names",
            "`--regulators human` or `--regulators mouse`, a file of gene names",
        ),
        ("or `regulators=None` for", "or `--regulators none` for"),
        ("`regulators='mouse'` needs symbols", "`--regulators mouse` needs symbols"),
        ("`accelerator` is 'x'", "`--accelerator` is 'x'"),
        ("`groupby='donor'` gives no group", "`--labels-key donor` gives no group"),
        ("`batch_key` is", "`--batch-key` is"),
        ("another folder for the model, or a `prefix=`.", "another folder for the model."),
        ("columns of `var`, as in `adata.layers`", "columns of `var`, as in `adata.layers`"),
    ],
)
def test_messages_name_options(python: str, options: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert as_options(python) == options
    with pytest.raises(typer.Exit):
        failing(ValueError(python))()
    assert capsys.readouterr().err == f"Error: {options}\n"


def test_interruption_says_what_became_of_the_files(capsys: pytest.CaptureFixture[str]) -> None:
    stop_of_training = KeyboardInterrupt("training stopped after 3 of 20 epochs")

    def command() -> None:
        with tell_if_interrupted("out.h5ad is as it was"):
            raise stop_of_training

    with pytest.raises(typer.Exit) as stop:
        one_line_errors(command)()
    assert stop.value.exit_code == 130
    captured = capsys.readouterr()
    assert captured.err == "\nInterrupted: training stopped after 3 of 20 epochs; out.h5ad is as it was.\n"
    assert captured.out == ""


def test_interruption_of_a_reader_changes_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as stop:
        failing(KeyboardInterrupt())()
    assert stop.value.exit_code == 130
    assert capsys.readouterr().err == "\nInterrupted: no file was changed.\n"


def test_warnings_are_one_line_while_a_command_runs(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        warnings.simplefilter("always")
        warnings.warn("too few\n regulators", UserWarning, stacklevel=1)
        warnings.warn("gene \x1b[2J", UserWarning, stacklevel=1)
        warnings.warn("or `regulators=None` for every gene.", UserWarning, stacklevel=1)

    before = warnings.showwarning
    one_line_errors(command)()
    assert capsys.readouterr().err == (
        "Warning: too few regulators\nWarning: gene \\x1b[2J\nWarning: or `--regulators none` for every gene.\n"
    )
    assert warnings.showwarning is before


@pytest.mark.parametrize("error", [ZeroDivisionError(), BrokenPipeError()])
def test_anything_else_passes_through(error: BaseException) -> None:
    with pytest.raises(type(error)):
        failing(error)()


def test_command_keeps_its_name_and_options() -> None:
    def edges(path: str, top: int = 3) -> None:
        """Write edges."""
        seen.append((path, top))

    seen: list[tuple[str, int]] = []
    wrapped = one_line_errors(edges)
    wrapped("a", top=4)
    assert seen == [("a", 4)]
    assert wrapped.__name__ == "edges"
    assert wrapped.__doc__ == "Write edges."
