"""The system checks; registered by the app's `ready()`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning
from django.core.files.storage import FileSystemStorage, storages
from django.db import connections, router
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from django_support_tickets.conf import PREFIX, Settings, settings
from django_support_tickets.dispatch import resolve_dispatcher
from django_support_tickets.exceptions import InvalidProvider
from django_support_tickets.models import Ticket
from django_support_tickets.phrases import translate
from django_support_tickets.providers import providers
from django_support_tickets.providers.options import complaints_of_types

Apps = Sequence[AppConfig] | None

TASKS_DISPATCHER = "django_support_tickets.contrib.tasks."
# Backends of Django's tasks that run a task where it is enqueued, or never.
UNQUEUED_TASKS = ("ImmediateBackend", "DummyBackend")
# What Django's own error reports mask (SafeExceptionReporterFilter.hidden_settings), so options with secrets match it.
SECRET_NAME = re.compile("API|AUTH|TOKEN|KEY|SECRET|PASS|SIGNATURE|HTTP_COOKIE", re.IGNORECASE)
EXAMPLE = '{"local": {"BACKEND": "django_support_tickets.providers.local.LocalProvider"}}'
NO_FUNCTION = gettext_noop("%(name)s is %(value)r, which is not a function.")
NOT_IMPORTED = gettext_noop("%(name)s is %(value)r, which cannot be imported (%(error)s).")
# Named, not imported: it would bring the HTTP library into every process.
USABLE = "django_support_tickets.providers.signatures.is_usable_secret"


def check_settings(app_configs: Apps = None, **kwargs: Any) -> list[CheckMessage]:
    """Report SUPPORT_TICKETS_* names that do not exist."""
    given = [name for name in dir(django_settings) if name.startswith(PREFIX)]
    return [
        Error(
            _("%(name)s is not a setting of django-support-tickets.") % {"name": name},
            hint=_("There are %(names)s.") % {"names": ", ".join(sorted(settings.names()))},
            id="support_tickets.E001",
        )
        for name in sorted(set(given) - settings.names())
    ]


def check_providers(app_configs: Apps = None, **kwargs: Any) -> list[CheckMessage]:
    """Report aliases, BACKENDs and OPTIONS that cannot be used; nothing is called and nothing is fetched."""
    if not _has_providers():
        return [
            Error(
                _("%(name)s must be a dictionary with at least one alias.") % {"name": f"{PREFIX}PROVIDERS"},
                hint=_("For example %(example)s.") % {"example": EXAMPLE},
                id="support_tickets.E002",
            )
        ]
    return [message for alias in providers for message in ([*_check_provider(alias)] or _check_placeholders(alias))]


def check_dispatcher(app_configs: Apps = None, **kwargs: Any) -> list[CheckMessage]:
    """Report a dispatcher that cannot be imported."""
    try:
        dispatcher = resolve_dispatcher()
        is_right = isinstance(settings.DISPATCHER, str) and (dispatcher is None or callable(dispatcher))
        complaint, cause = "" if is_right else _(NO_FUNCTION), ""
    except Exception as error:
        complaint, cause = _(NOT_IMPORTED), _cause_of(error)
    if not complaint:
        return []
    return [
        Error(
            complaint % {"name": f"{PREFIX}DISPATCHER", "value": settings.DISPATCHER, "error": cause},
            hint=_('Use "none", "inline" or the dotted path of a function (alias, ticket_id, using).'),
            id="support_tickets.E004",
        )
    ]


def check_functions(app_configs: Apps = None, **kwargs: Any) -> list[CheckMessage]:
    """Report functions of the project that cannot be imported, or are none."""
    named: list[tuple[str, Any]] = []
    for name in ("TICKET_SCOPE", "CUSTOMER_RESOLVER", "FILE_SCANNER"):
        value = getattr(settings, name)
        takes_function = name != "FILE_SCANNER" and callable(value)
        if value is not None and not takes_function:
            named.append((f"{PREFIX}{name}", value))
    filters = settings.OUTGOING_FILTERS
    if isinstance(filters, (list, tuple)):
        named += [(f"{PREFIX}OUTGOING_FILTERS[{place}]", value) for place, value in enumerate(filters)]
    else:
        named.append((_("%(name)s (a list)") % {"name": f"{PREFIX}OUTGOING_FILTERS"}, filters))
    return [
        Error(complaint, hint=_("Name a function by its dotted path."), id="support_tickets.E005")
        for name, value in named
        if (complaint := _complaint_of_path(name, value))
    ]


def check_values(app_configs: Apps = None, **kwargs: Any) -> list[CheckMessage]:
    """Report settings of the wrong form."""
    forms: dict[str, tuple[Callable[[Any], bool], str]] = {
        "POLL_SCHEDULE": (
            _is_schedule,
            _("It is a list of pairs (age, interval) of timedeltas; None as interval: never."),
        ),
        "QUOTA": (_is_quota, _('It is None, or a dictionary {"hour": n, "day": n} of numbers of at least 1.')),
        "RETENTION": (
            _is_retention,
            _("It is a dictionary of days or None, by %(kinds)s.") % {"kinds": ", ".join(Settings.RETENTION)},
        ),
        "ATTACHMENT_STORAGE": (_is_storage, _("It is an alias in STORAGES.")),
    }
    return [
        Error(
            _("%(name)s cannot be %(value)r.") % {"name": f"{PREFIX}{name}", "value": getattr(settings, name)},
            hint=hint,
            id="support_tickets.E006",
        )
        for name, (is_right, hint) in forms.items()
        if not is_right(getattr(settings, name))
    ]


def check_deployment(app_configs: Apps = None, **kwargs: Any) -> list[CheckMessage]:
    """Warn of what is fine in development only."""
    messages = [*_check_queue()]
    for alias in providers if _has_providers() else ():
        messages += _warnings_of(alias)
    return messages


def check_storage(app_configs: Apps = None, **kwargs: Any) -> list[CheckMessage]:
    """Warn of a storage from which anybody can fetch files without being asked who they are."""
    alias = settings.ATTACHMENT_STORAGE
    if not isinstance(alias, str) or alias not in storages.backends or not (complaint := _complaint_of_storage(alias)):
        return []
    return [
        CheckWarning(
            complaint,
            hint=_("Give attachments a folder or bucket of their own that no web server hands out."),
            id="support_tickets.W105",
        )
    ]


def check_databases(app_configs: Apps = None, **kwargs: Any) -> list[CheckMessage]:
    """Warn of database options with which concurrent work meets errors; no query."""
    aliases = [alias for alias in connections if router.allow_migrate_model(alias, Ticket)]
    return [message for alias in aliases for message in _check_database(alias)]


def _has_providers() -> bool:
    return isinstance(settings.PROVIDERS, dict) and bool(settings.PROVIDERS)


def _check_provider(alias: str) -> Iterator[CheckMessage]:
    hint = _("Mend %(setting)s: BACKEND is a dotted path, OPTIONS are its keyword arguments.")
    hint %= {"setting": f"{PREFIX}PROVIDERS[{alias!r}]"}
    if not isinstance(alias, str) or not 0 < len(alias) <= 64 or "/" in alias:
        complaint = _("Provider %(alias)r: an alias has 1 to 64 characters, none of them a slash.") % {"alias": alias}
        yield Error(complaint, hint=hint, id="support_tickets.E003")
        return
    for complaint in _complaints_of_account(alias):
        hint_about = f"{hint} {_('What is wrong: %(complaint)s') % {'complaint': complaint}}"
        message = _("Provider %(alias)r: %(complaint)s") % {"alias": alias, "complaint": complaint}
        yield Error(message, hint=hint_about, id="support_tickets.E003")


def _complaints_of_account(alias: str) -> Iterator[str]:
    """Yield the options of a wrong type; where there are none, what building the provider complains of."""
    try:
        complaints = [*complaints_of_types(*providers.configured(alias))]
        yield from complaints
        if not complaints:
            providers[alias]
    except InvalidProvider as error:
        yield translate(str(error).removeprefix(f"Provider {alias!r}: "))
    except Exception as error:  # of a class of the project's own; its text may quote an option
        yield translate(f"building it raised {type(error).__name__}.")


def _check_placeholders(alias: str) -> Iterator[CheckMessage]:
    """Report secrets that nobody has filled in; the values themselves are not named."""
    is_usable_secret = import_string(USABLE)
    for name, values in _secrets_of(alias).items():
        is_list = name == "webhook_secrets"
        if any(not is_usable_secret(value) for value in values if is_list or value):
            yield Error(
                _("Provider %(alias)r: %(name)s is blank or a placeholder.") % {"alias": alias, "name": name},
                hint=_("Fill in the secret; a callable is called at use, so that settings need not hold it."),
                id="support_tickets.E007",
            )


def _secrets_of(alias: str) -> dict[str, Sequence[Any]]:
    """Return the values of the options that hold secrets and are written out, by name."""
    config = settings.PROVIDERS[alias]
    options = config.get("OPTIONS") if isinstance(config, Mapping) else None
    found: dict[str, Sequence[Any]] = {}
    for name, value in options.items() if isinstance(options, Mapping) else ():
        if not SECRET_NAME.search(str(name)) or callable(value):
            continue
        if isinstance(value, (str, bytes)):
            found[name] = (value,)
        elif name == "webhook_secrets":
            found[name] = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    return found


def _complaint_of_path(name: str, value: Any) -> str:
    facts = {"name": name, "value": value}
    if not isinstance(value, str):
        return _("%(name)s is %(value)r, which is not a dotted path.") % facts
    try:
        function = import_string(value)
    except Exception as error:
        return _(NOT_IMPORTED) % {**facts, "error": _cause_of(error)}
    return "" if callable(function) else _(NO_FUNCTION) % facts


def _cause_of(error: Exception) -> str:
    """Return why an import failed; what a module of the project's own raised is named only, its text may quote."""
    return str(error) if isinstance(error, (ImportError, AttributeError, TypeError)) else type(error).__name__


def _is_schedule(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(map(_is_step, value))


def _is_step(step: Any) -> bool:
    if not isinstance(step, (list, tuple)) or len(step) != 2 or not isinstance(step[0], timedelta):
        return False
    return step[1] is None or (isinstance(step[1], timedelta) and step[1] > timedelta(0))


def _is_quota(value: Any) -> bool:
    if value is None:
        return True
    return isinstance(value, Mapping) and set(value) <= {"hour", "day"} and all(map(_is_count, value.values()))


def _is_retention(value: Any) -> bool:
    if not isinstance(value, Mapping) or not set(value) <= set(Settings.RETENTION):
        return False
    return all(days is None or _is_count(days) for days in value.values())


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_storage(alias: Any) -> bool:
    """Return whether it names a storage; the default may be missing: files are refused then."""
    return isinstance(alias, str) and (alias in storages.backends or alias == Settings.ATTACHMENT_STORAGE)


def _check_queue() -> Iterator[CheckMessage]:
    if settings.DISPATCHER == "inline":
        yield CheckWarning(
            _("The inline dispatcher calls vendors inside web requests."),
            hint=_('Set %(name)s to "none" and run sync_tickets, or use a task queue.')
            % {"name": f"{PREFIX}DISPATCHER"},
            id="support_tickets.W103",
        )
    if str(settings.DISPATCHER).startswith(TASKS_DISPATCHER):
        backend = str(getattr(django_settings, "TASKS", {}).get("default", {}).get("BACKEND", UNQUEUED_TASKS[0]))
        if backend.endswith(UNQUEUED_TASKS):
            yield CheckWarning(
                _("TASKS['default'] is %(backend)s: tasks run inside web requests, or not at all.")
                % {"backend": backend},
                hint=_("Use a backend with workers, such as django_tasks_db.DatabaseBackend."),
                id="support_tickets.W106",
            )


def _warnings_of(alias: str) -> Iterable[CheckMessage]:
    try:
        provider = providers[alias]
    except Exception:  # reported by check_providers
        return []
    messages = list(provider.check())
    options = settings.PROVIDERS[alias].get("OPTIONS", {})
    if provider.capabilities.has_webhooks and not options.get("webhook_secrets"):
        messages.append(
            CheckWarning(
                _("Provider %(alias)r: it has no webhook_secrets, so every webhook is refused.") % {"alias": alias},
                hint=_("Give the vendor's signing secret; polling alone works too, only later."),
                id="support_tickets.W104",
            )
        )
    proxies = options.get("proxies")
    if isinstance(proxies, Mapping) and any("@" in str(address) for address in proxies.values()):
        messages.append(
            CheckWarning(
                _("Provider %(alias)r: the address of a proxy holds a password, which error reports of Django show.")
                % {"alias": alias},
                hint=_("Let the proxy know this machine by its address, or keep reports of DEBUG pages off."),
                id="support_tickets.W109",
            )
        )
    return messages


def _complaint_of_storage(alias: str) -> str:
    """Return what makes a storage public, "" if nothing is seen of that kind; no file is touched."""
    try:
        storage = storages[alias]
    except Exception:  # it cannot be built; its first use says why
        return ""
    complaint, folder = "", ""
    if alias in ("default", "staticfiles"):
        complaint = _("%(storage)s, in which attachments are kept, is the one whose files are served.")
    elif isinstance(storage, FileSystemStorage):
        folder = _public_folder_around(storage)
        complaint = _("%(storage)s, in which attachments are kept, lies in %(folder)s.") if folder else ""
    elif not getattr(storage, "querystring_auth", True):
        complaint = _("%(storage)s, in which attachments are kept, gives out addresses that need no signature.")
    elif str(getattr(storage, "default_acl", "") or "").startswith("public"):
        complaint = _("%(storage)s, in which attachments are kept, makes every file public.")
    return complaint % {"storage": f"STORAGES[{alias!r}]", "folder": folder} if complaint else ""


def _public_folder_around(storage: FileSystemStorage) -> str:
    """Return which folder that a web server hands out holds that of a storage, "" if none does."""
    folder = Path(storage.location).resolve()
    for name in ("MEDIA_ROOT", "STATIC_ROOT"):
        root = getattr(django_settings, name, "")
        if root and folder.is_relative_to(Path(root).resolve()):
            return name
    default = storages["default"] if "default" in storages.backends else None
    if not isinstance(default, FileSystemStorage) or (storage.base_location and not default.base_location):
        return ""  # without a MEDIA_ROOT it is the folder in which the process was started, which nobody hands out
    return _("the folder of the default storage") if folder.is_relative_to(Path(default.location).resolve()) else ""


def _check_database(alias: str) -> Iterator[CheckMessage]:
    connection = connections[alias]
    options = connection.settings_dict.get("OPTIONS", {})
    if connection.vendor == "sqlite" and str(options.get("transaction_mode", "")).upper() not in (
        "IMMEDIATE",
        "EXCLUSIVE",
    ):
        yield CheckWarning(
            _("%(database)s: SQLite transactions begin deferred, and fail at once when another process writes.")
            % {"database": f"DATABASES[{alias!r}]"},
            hint=_('Set OPTIONS["transaction_mode"] = "IMMEDIATE", so that they wait for each other.'),
            id="support_tickets.W107",
        )
    if (
        connection.vendor == "mysql"
        and str(options.get("isolation_level", "read committed")).lower() != "read committed"
    ):
        yield CheckWarning(
            _("%(database)s: the isolation level is not READ COMMITTED: workers lock more than they change.")
            % {"database": f"DATABASES[{alias!r}]"},
            hint=_('Leave OPTIONS["isolation_level"] at Django\'s default, "read committed".'),
            id="support_tickets.W108",
        )
