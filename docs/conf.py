"""Sphinx: `make docs` writes docs/_build/html/."""

from __future__ import annotations

import os
import sys
from inspect import signature
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ["DJANGO_SETTINGS_MODULE"] = "docs.site_settings"

import django

django.setup()

from django_support_tickets import __version__

project = "django-support-tickets"
author = "the django-support-tickets contributors"
copyright = f"2026 {author}"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
# Included whole, the README and the changelog bring their own titles and addresses.
suppress_warnings = ["myst.header"]
exclude_patterns = ["_build", "examples"]
html_theme = "furo"
html_title = f"django-support-tickets {__version__}"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
# The reference is one page, in an order of its own.
html_use_index = html_domain_indices = False
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_default_options = {"show-inheritance": True}
autodoc_class_signature = "separated"
nitpicky = False
EMPTY = {"(self, *args, **kwargs)", "(self, /, *args, **kwargs)", "(self, *args, **kwds)", "(self, **kwargs)"}


def skip_empty_constructor(app: Any, what: str, name: str, member: Any, skip: bool, options: Any) -> bool | None:
    """Leave out constructors that say nothing: of models, choices and errors."""
    if name == "__new__" or (name == "__init__" and str(signature(member)) in EMPTY):
        return True
    return None


def setup(app: Any) -> None:
    app.connect("autodoc-skip-member", skip_empty_constructor)
