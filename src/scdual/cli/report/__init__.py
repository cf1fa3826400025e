"""The page that ``scdual report`` writes: what it says, its pictures, and its template."""

from scdual.cli.report._content import Report, new_report
from scdual.cli.report._page import render

__all__ = ["Report", "new_report", "render"]
