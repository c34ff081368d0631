"""Do the OPTIONS of an account have the types that its class declares? The checks ask, so that no first use has to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, Unpack, get_args, get_origin, get_type_hints

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from django_support_tickets.providers.base import Provider

WORDS = {
    str: gettext_noop("a text"),
    bytes: gettext_noop("a text"),
    int: gettext_noop("a whole number"),
    float: gettext_noop("a number"),
    bool: gettext_noop("True or False"),
    NoneType: "None",
}


def complaints_of_types(backend: type[Provider], options: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence per option of a wrong type, translated; values, which may be secrets, are not named."""
    declared = _declared(backend)
    for name, value in options.items():
        hint = declared.get(name, Any)
        if not _fits(value, hint):
            yield _("%(name)s must be %(form)s") % {"name": name, "form": _described(hint)}


def _declared(backend: type[Provider]) -> dict[str, Any]:
    """Return the types of all options, those of the base classes included."""
    found: dict[str, Any] = {}
    for cls in reversed(backend.__mro__):
        found |= _hints_of(vars(cls).get("__init__"))
    return found


def _hints_of(init: Any) -> dict[str, Any]:
    try:
        hints = get_type_hints(init) if init is not None else {}
    except Exception:  # of a project's own class, whose annotations are for a type checker only
        return {}
    packed = [get_args(hint)[0] for hint in hints.values() if get_origin(hint) is Unpack]
    return hints | {name: hint for options in packed for name, hint in get_type_hints(options).items()}


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a value is of a type; one that is not known here is everything."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is Literal:
        return value in parts
    if origin is tuple and Ellipsis not in parts:
        return isinstance(value, (list, tuple)) and len(value) == len(parts) and all(map(_fits, value, parts))
    if isinstance(origin, type):
        return _fits_generic(value, origin, parts)
    if hint in (int, float):
        return isinstance(value, (int, hint)) and not isinstance(value, bool)
    return hint is Any or not isinstance(hint, type) or isinstance(value, hint)


def _fits_generic(value: Any, origin: type, parts: tuple[Any, ...]) -> bool:
    if issubclass(origin, Callable):  # type: ignore[arg-type]
        return callable(value)
    if issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(map(_fits, value.values(), [parts[-1]] * len(value)))
    if issubclass(origin, Collection):  # a text is a collection of texts, too, and always a slip
        return isinstance(value, (list, tuple, set, frozenset)) and all(_fits(one, parts[0]) for one in value)
    return isinstance(value, origin)


def _described(hint: Any) -> str:
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _alternatives(map(_described, parts))
    if origin is Literal:
        return _alternatives(map(repr, parts))
    if origin is tuple and Ellipsis not in parts:
        return f"({', '.join(map(_described, parts))})"
    if isinstance(origin, type):
        return _described_generic(origin, parts)
    if hint in WORDS:
        return _(WORDS[hint])
    return _("of type %(type)s") % {"type": getattr(hint, "__name__", hint)}


def _alternatives(forms: Iterable[str]) -> str:
    first, *others = dict.fromkeys(forms)
    for other in others:
        first = _("%(one)s or %(other)s") % {"one": first, "other": other}
    return first


def _described_generic(origin: type, parts: tuple[Any, ...]) -> str:
    if issubclass(origin, Callable):  # type: ignore[arg-type]
        return _("a function")
    if issubclass(origin, Mapping):
        return _("a dictionary")
    return _("a list of texts") if str in (parts[0], *get_args(parts[0])) else _("a list")
