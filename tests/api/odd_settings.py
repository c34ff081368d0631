"""A site whose DRF defaults are strict, or odd: nothing of the API may depend on them."""

from __future__ import annotations

from tests.settings import *  # noqa: F403

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["tests.api.odd_site.CamelCaseRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"],
    "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.UserRateThrottle"],
    "DEFAULT_THROTTLE_RATES": {"user": "1/day"},
    "DEFAULT_VERSIONING_CLASS": "rest_framework.versioning.NamespaceVersioning",
    "ALLOWED_VERSIONS": ["v7"],
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.PageNumberPagination",
    "PAGE_SIZE": 1,
    "DEFAULT_FILTER_BACKENDS": ["tests.api.odd_site.NothingFilter"],
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "tests.api.odd_site.FirstRenderer",
    "UNAUTHENTICATED_USER": None,
    "UNAUTHENTICATED_TOKEN": None,
    "SEARCH_PARAM": "q",
    "ORDERING_PARAM": "sort",
    "URL_FORMAT_OVERRIDE": "as",
    "NON_FIELD_ERRORS_KEY": "errors",
    "DATETIME_FORMAT": "%d.%m.%Y",
    "UNICODE_JSON": False,
    "COMPACT_JSON": False,
    "COERCE_DECIMAL_TO_STRING": False,
}
