"""Turn expected errors and Ctrl+C into one line on stderr and an exit code, and warnings into one line."""

import functools
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

import typer

from scdual.cli._terminal import visible

_INTERRUPTED = 130  # what shells give for Ctrl+C: 128 + SIGINT
_WORDS = (
    (r"`require_counts=False`", "`--no-require-counts`"),
    (r"`groupby=", "`labels_key="),
    (r", or a `prefix=`", ""),
    (r"a list of gene names", "a file of gene names"),
    (r"`regulators='(\w+)'` or '(\w+)'", r"`--regulators \1` or `--regulators \2`"),
    (r"`regulators=None`", "`--regulators none`"),
    (r"`ckpt_path`", "`--checkpoint-dir`"),
    (r"`(regulators|labels_key|gene_symbols|condition_key|donor_key|reference)='([^`']*)'`", r"`--\1 \2`"),
    (r"`(group|groupby)`", r"`--\1`"),
    (r"`genes(\['[^`]*'\])?`", "`--gene`"),
    (
        r"`(layer|batch_key|labels_key|regulators|prior|max_epochs|accelerator|n_top_genes|min_cells|gene_symbols|"
        r"condition_key|donor_key|reference)=?`",
        r"`--\1`",
    ),
    (r"(?<=`--)(batch|labels|max|min|gene|condition|donor)_", r"\1-"),
    (r"(?<=`--)n_top_", "n-top-"),
)  # what messages call an argument in Python, and what it is called on the command line; in this order
_EXPECTED = (ValueError, KeyError, OSError, ModuleNotFoundError)


def one_line_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with warnings, expected errors and Ctrl+C as one line; other errors are bugs and keep their traceback."""

    @functools.wraps(command)
    def run(*args: object, **options: object) -> None:
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning
                command(*args, **options)
        except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough; typer ends quietly
            raise
        except _EXPECTED as error:
            typer.secho(f"Error: {_message(error)}", fg="red", err=True)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as stop:
            typer.secho(f"\nInterrupted: {_told(stop) or 'no file was changed'}.", fg="yellow", err=True)
            raise typer.Exit(_INTERRUPTED) from stop

    return run


@contextmanager
def tell_if_interrupted(message: str) -> Iterator[None]:
    """Say after Ctrl+C what became of the user's files; what was said further inside comes first."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt("; ".join(filter(None, [_told(stop), message]))) from None


def as_options(text: str) -> str:
    """Return a message with the options of the command line in place of the arguments of Python."""
    for python, option in _WORDS:
        text = re.sub(python, option, text)
    return text


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    typer.secho(f"Warning: {visible(as_options(' '.join(str(message).split())))}", fg="yellow", err=True)


def _told(stop: KeyboardInterrupt) -> str:
    return visible(str(stop.args[0])) if stop.args else ""


def _message(error: Exception) -> str:
    """Return the message in one line; a `KeyError` would put it in quotes."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return visible(as_options(" ".join(text.split()))) or type(error).__name__
