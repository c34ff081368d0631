"""The forms of the admin; which fields they have and what fits into them comes from the account's capabilities."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminEmailInputWidget, AdminTextareaWidget, AdminTextInputWidget
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.utils.html import escape
from django.utils.translation import gettext_lazy as _

from django_support_tickets.admin.limits import accepted, at_most, file_rules, may_travel
from django_support_tickets.attachments.intake import validate_files
from django_support_tickets.models import Attachment, Comment, Submission, Ticket
from django_support_tickets.outbox.validation import validate_comment, validate_ticket
from django_support_tickets.records import Capabilities

#: Form field -> what the capabilities call it where a vendor can send it but need not get it.
OPTIONAL = {
    "customer_id": "customer_id",
    "contact_name": "contact",
    "contact_email": "contact",
    "category": "category",
    "priority": "priority",
    "tags": "tags",
}
OPTION = "option_"
WORDS = {"true": True, "false": False}

Fieldsets = list[tuple[Any, dict[str, Any]]]


class ManyFilesInput(forms.FileInput):
    """A file input that takes several files."""

    allow_multiple_selected = True


class ManyFilesField(forms.FileField):
    """A field of several files; its value is a list."""

    widget = ManyFilesInput

    def clean(self, data: Any, initial: Any = None) -> Any:
        """Return the list of uploaded files; raise ValidationError if one of them is none."""
        files = data if isinstance(data, (list, tuple)) else [data] if data else []
        if self.required and not files:
            raise ValidationError(self.error_messages["required"], code="required")
        return [super(ManyFilesField, self).clean(file, initial) for file in files]


class LinesField(forms.CharField):
    """A text of many lines, counted as the vendor gets it: browsers send two characters for each end of a line."""

    widget = AdminTextareaWidget

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        return text.replace("\r\n", "\n").replace("\r", "\n") if isinstance(text, str) else text


class TellingForm(forms.Form):
    """A form that can show what was found out only when something was stored."""

    def take(self, error: ValidationError) -> None:
        """Show an error at the field that it names, or above the form where this form has no such field."""
        named = error.error_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error.error_list}
        for name, errors in named.items():
            name = "uploads" if name == "file" else name
            if name in self.fields or name == NON_FIELD_ERRORS:
                self.add_error(None if name == NON_FIELD_ERRORS else name, errors)
            else:
                self.add_error(None, [f"{name}: {message}" for one in errors for message in one.messages])


class UploadingForm(TellingForm):
    """What forms with files share: the key that makes a second click harmless, and the files themselves."""

    key = forms.UUIDField(widget=forms.HiddenInput, required=False)
    uploads = ManyFilesField(label=_("Files"), required=False)

    def offer_files(self, capabilities: Capabilities, *moments: str, allowed: bool) -> None:
        """Keep the file field if files can travel at one of `moments`, and say what is taken."""
        self.initial.setdefault("key", uuid.uuid4())
        rules = capabilities.attachments
        if rules is None or not allowed or not may_travel(rules, *moments):
            del self.fields["uploads"]
            return
        field = self.fields["uploads"]
        field.help_text = " ".join(file_rules(rules))
        field.widget.attrs["accept"] = accepted(rules)

    @property
    def files_given(self) -> Sequence[UploadedFile[Any]]:
        """Return the files that were uploaded with the form."""
        files: Sequence[UploadedFile[Any]] = self.cleaned_data.get("uploads") or ()
        return files

    def check_files(self, capabilities: Capabilities) -> None:
        """Add the complaints about the uploaded files, before anything is stored."""
        if not self.files_given:
            return
        try:
            validate_files(self.files_given, capabilities.attachments)
        except ValidationError as error:
            self.take(error)


class TicketForm(UploadingForm, forms.ModelForm):  # type: ignore[type-arg]
    """Raise a ticket, or go on with a draft: what its vendor would refuse is said before anything is stored."""

    tags = forms.CharField(
        label=_("Tags"), required=False, widget=AdminTextInputWidget, help_text=_("Separated by commas.")
    )
    discard = forms.MultipleChoiceField(
        label=_("Remove these files"), required=False, widget=forms.CheckboxSelectMultiple
    )

    class Meta:
        model = Ticket
        fields = (
            "subject",
            "description",
            "category",
            "priority",
            "customer_id",
            "contact_name",
            "contact_email",
            "requester",
        )
        field_classes = {"description": LinesField}
        widgets = {
            "subject": AdminTextInputWidget(attrs={"class": "vLargeTextField"}),
            "description": AdminTextareaWidget,
            "category": AdminTextInputWidget,
            "priority": AdminTextInputWidget,
            "customer_id": AdminTextInputWidget,
            "contact_name": AdminTextInputWidget,
            "contact_email": AdminEmailInputWidget,
        }

    def __init__(
        self,
        *args: Any,
        capabilities: Capabilities,
        requester: forms.Field | None = None,
        may_attach: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.capabilities = capabilities
        self.is_draft = "_draft" in self.data
        if requester is not None:
            self.fields["requester"] = requester
        self._keep_used()
        self._say_limits()
        self._offer_choices()
        self._offer_options()
        self.offer_files(capabilities, "create", "after", allowed=may_attach)
        self._offer_discarding()

    def _keep_used(self) -> None:
        """Keep only what the vendor can be told, and mark what it must be told."""
        required, sent = self.capabilities.required_fields | {"subject"}, self.capabilities.sent_fields
        for name in [*OPTIONAL, "description"]:
            if name in OPTIONAL and name not in required and OPTIONAL[name] not in sent:
                del self.fields[name]
        for name in required & self.fields.keys():
            # A draft may be incomplete; only without a subject nobody would find it again.
            self.fields[name].required = not self.is_draft or name == "subject"
        if "tags" in self.fields:
            self.initial["tags"] = ", ".join(map(str, self.instance.tags))

    def _say_limits(self) -> None:
        limits = {"subject": self.capabilities.subject_max, "description": self.capabilities.description_max}
        for name, limit in limits.items():
            if limit is not None:
                self.fields[name].widget.attrs["maxlength"] = limit
                self.fields[name].help_text = at_most(limit)

    def _offer_choices(self) -> None:
        known = {"category": self.capabilities.categories, "priority": self.capabilities.priorities}
        for name, values in known.items():
            if values and name in self.fields:
                old = self.fields[name]
                choices = [("", "---------"), *((value, value) for value in values)]
                self.fields[name] = forms.ChoiceField(label=old.label, required=old.required, choices=choices)

    def _offer_options(self) -> None:
        for name in sorted(self.capabilities.option_names):
            value = self.instance.options.get(name, "") if isinstance(self.instance.options, dict) else ""
            shown = str(value).lower() if isinstance(value, bool) else str(value)
            self.initial[OPTION + name] = shown
            self.fields[OPTION + name] = forms.CharField(
                label=name, required=False, widget=AdminTextInputWidget, help_text=_("Yes and no are true and false.")
            )

    def _offer_discarding(self) -> None:
        files = self.instance.attachments.all() if self.instance.pk else ()
        choices = [(str(file.key), file.name) for file in files]
        if choices:
            self.fields["discard"].choices = choices  # type: ignore[attr-defined]
        else:
            del self.fields["discard"]

    def fieldsets(self) -> Fieldsets:
        """Return the fields in the groups in which they are shown."""
        options = [name for name in self.fields if name.startswith(OPTION)]
        groups: Fieldsets = [
            (None, {"fields": self._present("subject", "description", "category", "priority", "tags")}),
            (
                _("Who it is about"),
                {"fields": self._present("customer_id", "contact_name", "contact_email", "requester")},
            ),
        ]
        if options:
            groups.append((_("This vendor's own options"), {"fields": options}))
        groups.append((_("Files"), {"fields": self._present("uploads", "discard"), "description": self._about_files()}))
        return groups

    def _present(self, *names: str) -> list[str]:
        return [name for name in names if name in self.fields]

    def _about_files(self) -> str:
        rules = self.capabilities.attachments
        if "uploads" in self.fields:
            return ""
        if rules is None:
            return escape(_("This account's vendor takes no files."))
        return (
            escape(_("Files cannot be added here."))
            if may_travel(rules, "create", "after")
            else escape(_("This account's vendor takes files only together with a reply."))
        )

    def clean(self) -> dict[str, Any]:
        """Take over what is no column of its own: tags and vendor options."""
        data = super().clean() or self.cleaned_data
        if "tags" in self.fields:
            self.instance.tags = [tag.strip() for tag in data.get("tags", "").split(",") if tag.strip()]
        given = ((name, data.get(OPTION + name, "").strip()) for name in sorted(self.capabilities.option_names))
        self.instance.options = {name: WORDS.get(value.lower(), value) for name, value in given if value}
        return data

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        self.check_files(self.capabilities)
        if self.is_draft or self.errors:
            return
        try:
            validate_ticket(self.instance)
        except ValidationError as error:
            self.take(error)

    def discarded(self) -> Iterable[Attachment]:
        """Return the files of the draft that are to be removed."""
        keys = self.cleaned_data.get("discard") or ()
        return self.instance.attachments.filter(key__in=keys) if keys else ()


class ReplyForm(UploadingForm):
    """Say more on a ticket, with files where the vendor takes them then."""

    body = LinesField(label=_("Reply"), widget=AdminTextareaWidget(attrs={"rows": 6}))

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
