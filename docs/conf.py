"""Sphinx settings.

Set SCDUAL_INTERSPHINX=1 to link to the pages of other packages. That needs the internet; without it the build is
complete, and names of other packages stay plain text.
"""

import os
import shutil
import warnings
from importlib.metadata import version as installed_version
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config

# sphinx-autodoc-typehints 3.6 uses a call that Sphinx 10 will drop, once for each documented name.
warnings.filterwarnings("ignore", message=".*set_application.*", category=DeprecationWarning)

HERE = Path(__file__).parent
LINK_TO_OTHERS = os.environ.get("SCDUAL_INTERSPHINX") == "1"

project = "scdual"
author = "scdual developers"
copyright = f"2026, {author}"
release = installed_version("scdual")
version = release

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_autodoc_typehints",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxcontrib.bibtex",
]
# .rst first: autosummary writes its pages with the first suffix
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
templates_path = ["_templates"]
nitpicky = LINK_TO_OTHERS

autosummary_generate = True
autodoc_member_order = "groupwise"
autodoc_typehints = "none"  # sphinx_autodoc_typehints writes them
default_role = "literal"
bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"
napoleon_google_docstring = False
napoleon_include_init_with_doc = False
napoleon_use_param = True
napoleon_use_rtype = True
typehints_defaults = "braces"
always_use_bars_union = True

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # notebooks are stored with their results; `make tutorials` runs them

html_theme = "sphinx_book_theme"
html_title = project
html_theme_options = {"show_toc_level": 2}

if LINK_TO_OTHERS:
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "anndata": ("https://anndata.readthedocs.io/en/stable/", None),
        "lightning": ("https://lightning.ai/docs/pytorch/stable/", None),
        "mudata": ("https://mudata.readthedocs.io/stable/", None),
        "networkx": ("https://networkx.org/documentation/stable/", None),
        "numpy": ("https://numpy.org/doc/stable/", None),
        "pandas": ("https://pandas.pydata.org/docs/", None),
        "python": ("https://docs.python.org/3/", None),
        "scanpy": ("https://scanpy.readthedocs.io/en/stable/", None),
        "scipy": ("https://docs.scipy.org/doc/scipy/", None),
        "scvi-tools": ("https://docs.scvi-tools.org/en/stable/", None),
        "torch": ("https://docs.pytorch.org/docs/stable/", None),
    }


def copy_tutorials(app: Sphinx, config: Config) -> None:
    """Bring the notebooks of /tutorials under docs/, where Sphinx can see them; git ignores the copies."""
    target = HERE / "tutorials"
    target.mkdir(exist_ok=True)
    for stale in target.glob("*.ipynb"):
        stale.unlink()
    for notebook in sorted((HERE.parent / "tutorials").glob("*.ipynb")):
        shutil.copy2(notebook, target)


def setup(app: Sphinx) -> None:
    app.connect("config-inited", copy_tutorials)
