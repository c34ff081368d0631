from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminTextareaWidget, AdminTextInputWidget
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from django_support_tickets.admin.fields import LinesField, TellingForm, UploadingForm
from django_support_tickets.admin.limits import at_most
from django_support_tickets.models import Comment, Submission, Ticket
from django_support_tickets.outbox.validation import validate_comment
from django_support_tickets.records import Capabilities


class ReplyForm(UploadingForm):
    """Say more on a ticket, with files where the vendor takes them then."""

    body = LinesField(label=_("Reply"), widget=AdminTextareaWidget(attrs={"rows": 6}))
    field_order = ("body", "uploads")

    def __init__(self, *args: Any, ticket: Ticket, capabilities: Capabilities, may_attach: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ticket = ticket
        self.capabilities = capabilities
        self.offer_files(capabilities, *self._moments(), allowed=may_attach)
        if not capabilities.can_comment:
            del self.fields["body"]
            if "uploads" in self.fields:
                self.fields["uploads"].required = True
        elif capabilities.comment_max is not None:
            self.fields["body"].widget.attrs["maxlength"] = capabilities.comment_max
            self.fields["body"].help_text = at_most(capabilities.comment_max)

    def _moments(self) -> tuple[str, ...]:
        return ("comment", "after") if self.capabilities.can_comment else ("after",)

    @property
    def is_offered(self) -> bool:
        """Return whether there is anything to fill in."""
        return bool(self.fields.keys() & {"body", "uploads"})

    def clean(self) -> dict[str, Any]:
        """Ask the account's capabilities; raise ValidationError with a message per field."""
        data = super().clean() or self.cleaned_data
        self.check_files(self.capabilities)
        if not self.errors and "body" in self.fields:
            try:
                validate_comment(Comment(ticket=self.ticket, body=data["body"]))
            except ValidationError as error:
                self.take(error)
        return data


class SettleForm(TellingForm):
    """Say what a person has found out at the vendor's desk."""

    EXISTS = "exists"
    SEND_AGAIN = "again"

    answer = forms.ChoiceField(
        label=_("What did you find at the vendor's desk?"),
        widget=forms.RadioSelect,
        choices=[(EXISTS, _("It is there.")), (SEND_AGAIN, _("It is not there: send it again."))],
    )
    remote_id = forms.CharField(
        label=_("The vendor's id of it"), max_length=255, required=False, widget=AdminTextInputWidget
    )

    def __init__(self, *args: Any, item: Submission, is_closing: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.needs_id = isinstance(item, Ticket)
        if is_closing:
            del self.fields["remote_id"]
            self.fields["answer"].choices = [  # type: ignore[attr-defined]
                (self.EXISTS, _("It is closed there.")),
                (self.SEND_AGAIN, _("It is not closed there: ask for it again.")),
            ]
        elif not self.needs_id:
            self.fields["remote_id"].help_text = _("Empty where the vendor shows none.")

    def clean(self) -> dict[str, Any]:
        """Ask for the id where the vendor's id is what makes it ours."""
        data = super().clean() or self.cleaned_data
        is_there = data.get("answer") == self.EXISTS
        if is_there and self.needs_id and not data.get("remote_id", "-").strip():
            self.add_error("remote_id", _("Give the id that the vendor shows for it."))
        return data

    def answer_about(self, ticket: Ticket) -> dict[str, Any]:
        """Return the answer as `settle()` takes it."""
        if self.cleaned_data["answer"] == self.SEND_AGAIN:
            return {"exists": None, "send_again": True}
        return {"exists": self.cleaned_data.get("remote_id", ticket.remote_id), "send_again": False}
