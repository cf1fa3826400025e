"""`scdual report` writes one page that needs no network, and in which names from the file are text and nothing else."""

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from scdual._constants import evidence_key, regulation_key
from scdual.cli._app import app
from scdual.grn import RegulatoryNetwork

HOSTILE = [
    "<script>document.title='owned'</script>",
    "</script><img src=x onerror=\"document.title='owned'\">",
    "\"' onmouseover='document.title=1' {{ 7 * 7 }}",
    "$\\frac{1}$ & <!-- %s {0}",
    "__proto__",
]
COLUMN = HOSTILE[1].replace("/", "")  # a slash would be a folder of HDF5
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def run(*args: object, code: int = 0) -> str:
    """Return what `scdual report` says."""
    result = CliRunner().invoke(app, ["report", *map(str, args)])
    assert result.exit_code == code, result.output
    return result.stderr


class Page(HTMLParser):
    """Collect the tags of a page with their attributes, and its text outside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.scripts = "", []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script" and data.strip():
            self.scripts.append(data)
        elif self.tags and self.tags[-1][0] != "style":
            self.text += data


@pytest.fixture
def hostile_path(annotated_path: Path, network: RegulatoryNetwork) -> Path:
    """Return a file all of whose names are markup, templates or formulas."""
    adata = anndata.read_h5ad(annotated_path)
    adata.var_names = HOSTILE
    adata.obs[COLUMN] = pd.Categorical(np.resize(HOSTILE[:3], adata.n_obs))
    adata.uns["scdual"] |= {"groupby": COLUMN, COLUMN: HOSTILE[2]}
    for group in HOSTILE[:2]:
        key = regulation_key(group)
        adata.varp[key] = network.to_varp()
        for name in ("sd", "support"):
            adata.varp[evidence_key(key, name)] = network.to_varp(values=name)
    path = annotated_path.with_name("<b>'hostile'&.h5ad")
    adata.write_h5ad(path)
    return path


def test_page_needs_nothing_else_and_says_what_is_in_the_file(annotated_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    assert run(annotated_path, "-o", out) == f"Written to {out}; open it in any browser\n"
    text = out.read_text(encoding="utf-8")
    page = Page(text)
    for words in (
        "annotated.h5ad",
        "12",
        "How to read this",
        "What it does not show",
        "CD4+/CD8+",
        "GATA1",
        "n_latent",
    ):
        assert words in page.text
    around = [before.get("class") for (_, before), (tag, _) in pairwise(page.tags) if tag == "table"]
    assert around[:-1] == ["scroll"] * len(around[:-1])  # wide tables do not widen the page; the last is of parameters
    assert len(around) > 2
    links = [value for _, attributes in page.tags for name, value in attributes.items() if name in ("src", "href")]
    assert {str(link).split(":")[0][0] for link in links} <= {"#", "d"}  # within the page, or data
    assert "//" not in re.sub(
        r"data:[^\"]*|http://www\.w3\.org/2000/svg|<script>.*</script>", "", text, flags=re.DOTALL
    )
    (policy,) = (attributes["content"] for _, attributes in page.tags if "http-equiv" in attributes)
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_names_are_text_and_nothing_else(hostile_path: Path, tmp_path: Path) -> None:
    run(hostile_path, "-o", tmp_path / "report.html", "--color", COLUMN)
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    scripts = [attributes for tag, attributes in page.tags if tag == "script"]
    assert [attributes.get("type") for attributes in scripts] == ["application/json"] * 2 + [None]
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    for name in [*HOSTILE[:3], COLUMN, hostile_path.name]:
        assert name in page.text
    edges, groups = (json.loads(script) for script in page.scripts[:2])
    assert {name for source, target, *_ in edges[0] for name in (source, target)} == set(HOSTILE)
    assert set(HOSTILE[:2]) <= set(groups)


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs a browser")
def test_a_browser_draws_the_graph_and_runs_no_name(hostile_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    run(hostile_path, "-o", out, "--color", COLUMN)
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    drawn = subprocess.run([BROWSER, *options, out.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    page = Page(drawn.stdout)
    assert "owned" not in [attributes.get("title") for _, attributes in page.tags]
    assert re.search(r"<title>(.*?)</title>", drawn.stdout)[1] == "&lt;b&gt;'hostile'&amp;.h5ad – scdual report"
    classes = [(attributes.get("class") or "").split() for _, attributes in page.tags]
    assert sum("gene" in found for found in classes) == 2  # of the one edge whose sign is sure
    assert "2 genes, 1 line." in page.text


def test_file_without_results_points_to_fit(counts_path: Path, tmp_path: Path) -> None:
    said = run(counts_path, "-o", tmp_path / "report.html", code=1)
    assert said.startswith(f"Error: {counts_path} has no varp['scdual_regulation']; its varp has [].")
    assert "scdual fit" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("absent.h5ad", None, "does not exist"),
        ("cut.h5ad", b"no HDF5", "cannot be read as AnnData"),
        ("cells.csv", b"a,b", "ends with '.csv', expected .h5ad"),
    ],
)
def test_what_is_no_file_of_scdual_is_an_error(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    said = run(tmp_path / name, "-o", tmp_path / "report.html", code=1)
    assert words in said
    assert said.count("\n") == 1


def test_wrong_options_change_nothing(annotated_path: Path, tmp_path: Path) -> None:
    assert "expected .html" in run(annotated_path, "-o", tmp_path / "report.h5ad", code=1)
    out = tmp_path / "report.html"
    out.write_text("old")
    said = run(annotated_path, "-o", out, "--color", "btch", code=1)
    assert "--color is 'btch', but the columns of obs of" in said
    assert out.read_text() == "old"


def test_without_matplotlib_it_names_the_extra(
    annotated_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    said = run(annotated_path, "-o", tmp_path / "report.html", code=1)
    assert said == 'Error: matplotlib not found, needed here. Install with: pip install "scdual[plots]"\n'


def test_the_same_file_gives_the_same_page(annotated_path: Path, tmp_path: Path) -> None:
    for name in ("one.html", "two.html"):
        run(annotated_path, "-o", tmp_path / name)
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()
