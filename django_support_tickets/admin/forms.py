"""The forms of the admin; which fields they have and what fits into them comes from the account's capabilities."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminEmailInputWidget, AdminTextareaWidget, AdminTextInputWidget
from django.core.exceptions import ValidationError
from django.utils.html import escape
from django.utils.translation import gettext_lazy as _

from django_support_tickets.admin.fields import LinesField, UploadingForm
from django_support_tickets.admin.limits import at_most, may_travel
from django_support_tickets.models import Attachment, Ticket
from django_support_tickets.outbox.validation import validate_ticket
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
            self.fields[OPTION + name] = forms.CharField(label=name, required=False, widget=AdminTextInputWidget)

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
            hint = escape(_("What is empty is not sent. For yes and no write true and false."))
            groups.append((_("This vendor's own options"), {"fields": options, "description": hint}))
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
