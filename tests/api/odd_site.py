from __future__ import annotations

from typing import Any

from rest_framework.filters import BaseFilterBackend
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import JSONRenderer


class CamelCaseRenderer(JSONRenderer):
    """Render `like_this` as `likeThis`."""

    def render(self, data: Any, *args: Any, **kwargs: Any) -> bytes:
        return super().render(_camelised(data), *args, **kwargs)


class NothingFilter(BaseFilterBackend):
    """Show no rows to anybody."""

    def filter_queryset(self, request: Any, queryset: Any, view: Any) -> Any:
        return queryset.none()


class FirstRenderer(BaseContentNegotiation):
    """Answer in whatever comes first, whatever was asked for."""

    def select_parser(self, request: Any, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


def _camelised(data: Any) -> Any:
    if isinstance(data, dict):
        return {_camel(name): _camelised(value) for name, value in data.items()}
    return [_camelised(value) for value in data] if isinstance(data, list) else data


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)
