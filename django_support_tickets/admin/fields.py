"""Fields and parts that the forms of the admin share."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminTextareaWidget
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext_lazy as _

from django_support_tickets.admin.limits import accepted, file_rules, may_travel
from django_support_tickets.attachments.intake import validate_files
from django_support_tickets.records import Capabilities


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
