"""What is named now and imported at its first use: `django.setup()` of a process that never needs it stays cheap."""

from __future__ import annotations

from typing import Any

from django.utils.module_loading import import_string


class Later:
    """A function of ours by its dotted path, imported when it is called."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return import_string(self.path)(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Later {self.path}>"
