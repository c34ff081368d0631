"""Sphinx: `make docs` writes docs/_build/html/."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ["DJANGO_SETTINGS_MODULE"] = "docs.site_settings"

import django

django.setup()

from django_support_tickets import __version__

project = "django-support-tickets"
author = "The authors of django-support-tickets"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
# Included whole, the README and the changelog bring their own titles and addresses.
suppress_warnings = ["myst.header"]
exclude_patterns = ["_build", "examples"]
html_theme = "furo"
html_title = f"django-support-tickets {__version__}"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_default_options = {"show-inheritance": True}
autodoc_class_signature = "separated"
nitpicky = False
