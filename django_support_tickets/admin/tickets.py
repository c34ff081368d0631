from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.base_user import AbstractBaseUser
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from django_support_tickets.admin.forms import RaiseTicketForm
from django_support_tickets.models import Attachment, Comment, Ticket


class ReadOnlyInline(admin.TabularInline):  # type: ignore[type-arg]
    """Rows to read; nothing is added, changed or deleted here."""

    extra = 0
    can_delete = False
    show_change_link = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class CommentInline(ReadOnlyInline):
    """The conversation of a ticket."""

    model = Comment
    fields = readonly_fields = ("sent_at", "author_type", "author_name", "body", "delivery")


class AttachmentInline(ReadOnlyInline):
    """The files of a ticket, by name and size; they are not served from here."""

    model = Attachment
    fields = readonly_fields = ("name", "size", "direction", "state", "delivery", "delivery_error")


@admin.register(Ticket)
class TicketAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Raise tickets at vendors and read what became of them."""

    list_display = ("subject", "provider", "reference", "delivery", "status", "requester", "created_at")
    list_filter = ("delivery", "status")
    list_select_related = ("requester",)
    search_fields = ("key", "reference", "remote_id", "contact_email", "subject")
    show_full_result_count = False
    ordering = ("-created_at", "-id")
    raw_id_fields = ("requester",)
    inlines = (CommentInline, AttachmentInline)
    fieldsets = (
        (None, {"fields": ("provider", "subject", "description", "priority", "category", "tags", "options")}),
        (_("Customer"), {"fields": ("customer_id", "contact_name", "contact_email", "requester")}),
        (_("Delivery"), {"fields": ("key", "delivery", "delivery_error", "submitted_at", "delivered_at")}),
        (
            _("At the vendor"),
            {"fields": ("status", "remote_status", "reference", "remote_id", "resolution", "remote_updated_at")},
        ),
        (_("The vendor's answer"), {"classes": ("collapse",), "fields": ("raw",)}),
    )
    add_fieldsets = (
        (None, {"fields": ("provider", "subject", "description", "priority", "category", "tags", "options")}),
        (_("Customer"), {"fields": ("customer_id", "contact_name", "contact_email", "requester")}),
        (_("Sending"), {"fields": ("uploads", "as_draft")}),
    )

    def get_fieldsets(self, request: HttpRequest, obj: Ticket | None = None) -> Any:
        return self.fieldsets if obj else self.add_fieldsets

    def get_form(self, request: HttpRequest, obj: Ticket | None = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is None:
            kwargs["form"] = RaiseTicketForm
        return super().get_form(request, obj, change=change, **kwargs)

    def get_inlines(self, request: HttpRequest, obj: Ticket | None) -> Any:
        return self.inlines if obj else ()

    def get_readonly_fields(self, request: HttpRequest, obj: Ticket | None = None) -> Any:
        if obj is None:
            return ()
        return [name for _, options in self.fieldsets for name in options["fields"]]

    def save_model(self, request: HttpRequest, obj: Ticket, form: ModelForm[Ticket], change: bool) -> None:
        if not change and isinstance(request.user, AbstractBaseUser):
            obj.requester = obj.requester or request.user
            obj.save()
            for file in form.cleaned_data.get("uploads") or ():
                Attachment.objects.create(
                    ticket=obj, file=file, name=file.name, created_by=request.user, delivery=obj.delivery
                )
