from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.base import File
from django.utils.translation import gettext_lazy as _

from django_support_tickets.attachments.intake import validate_files
from django_support_tickets.models import Delivery, Ticket
from django_support_tickets.outbox.validation import provider_of, validate_ticket
from django_support_tickets.providers import providers

FIELDS = (
    "provider",
    "customer_id",
    "contact_name",
    "contact_email",
    "subject",
    "description",
    "priority",
    "category",
    "tags",
    "options",
    "requester",
)


class ManyFilesInput(forms.ClearableFileInput):
    """A file input that takes several files."""

    allow_multiple_selected = True


class ManyFilesField(forms.FileField):
    """A field of several files; its value is a list."""

    widget = ManyFilesInput

    def clean(self, data: Any, initial: Any = None) -> Any:
        """Return the list of uploaded files; raise ValidationError if one of them is none."""
        files = data if isinstance(data, (list, tuple)) else [data] if data else []
        return [super(ManyFilesField, self).clean(file, initial) for file in files]


class RaiseTicketForm(forms.ModelForm):  # type: ignore[type-arg]
    """Raise a ticket: everything that its vendor would refuse is said before anything is stored."""

    provider = forms.ChoiceField(label=_("Account"))
    as_draft = forms.BooleanField(
        label=_("Save as draft"), required=False, help_text=_("Nothing is sent until the draft is submitted.")
    )
    uploads = ManyFilesField(label=_("Files"), required=False)

    class Meta:
        model = Ticket
        fields = FIELDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = self.fields["provider"]
        choices.choices = [(alias, alias) for alias in providers]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """Ask the account's capabilities; raise ValidationError with a message per field."""
        data = super().clean() or self.cleaned_data
        data["tags"] = data.get("tags") or []
        data["options"] = data.get("options") or {}
        if not self.errors and not data.get("as_draft"):
            self._ask_capabilities(data)
        return data

    def _ask_capabilities(self, data: dict[str, Any]) -> None:
        ticket = Ticket(**{name: data[name] for name in FIELDS})
        validate_ticket(ticket)
        files: list[File[Any]] = data.get("uploads") or []
        if files:
            rules = provider_of(ticket).capabilities.attachments
            try:
                validate_files(files, rules)
            except ValidationError as error:
                raise ValidationError({"uploads": error.messages}) from None

    def save(self, commit: bool = True) -> Ticket:
        """Return the ticket, queued or as a draft; its files are the caller's to add."""
        as_draft = self.cleaned_data.get("as_draft")
        self.instance.delivery = Delivery.DRAFT if as_draft else Delivery.QUEUED
        ticket: Ticket = super().save(commit)
        return ticket
