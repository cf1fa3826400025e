"""Put what a report says into its template.

All that comes from the file of the user is escaped by Jinja. The page forbids itself, by its content security policy, to
fetch anything and to run any script but the one that draws the graph.
"""

import base64
import hashlib
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from scdual.cli.report._content import Report

_FOLDER = "scdual.cli.report"


def render(report: Report) -> str:
    """Return the page as HTML."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    script = _read("graph.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    template = environment.from_string(_read("page.html"))
    return template.render(report=report, style=_read("page.css"), script=script, script_hash=f"sha256-{digest}")


def _read(name: str) -> str:
    return files(_FOLDER).joinpath(name).read_text(encoding="utf-8")
