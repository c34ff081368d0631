from __future__ import annotations

import uuid
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from django_support_tickets.management.erasure import find_user
from django_support_tickets.models import Attachment, Comment, Delivery, Submission, Ticket, TicketEvent
from django_support_tickets.outbox.decisions import known_remote_id, settle


class Command(BaseCommand):
    """Settle what is uncertain: a person has looked at the vendor and knows."""

    help = gettext_noop(
        "Settle an uncertain ticket, comment, file or closing. Without a key: list all that is uncertain."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.description = _(self.help)
        parser.add_argument("key", nargs="?", type=uuid.UUID, help=_("Key of the ticket, comment or file."))
        answer = parser.add_mutually_exclusive_group()
        answer.add_argument("--exists", metavar="REMOTE_ID", help=_("The vendor has it, under this id."))
        answer.add_argument("--send-again", action="store_true", help=_("The vendor has not got it: send it again."))
        by = _("Name or key of the user who has decided, for the timeline.")
        parser.add_argument("--by", metavar="USER", help=by)
        parser.add_argument(
            "--database", default=DEFAULT_DB_ALIAS, choices=tuple(connections), help=_("Database to use (default).")
        )

    def handle(self, *args: Any, **options: Any) -> None:
        key, using = options["key"], options["database"]
        exists, send_again = options["exists"], options["send_again"]
        if key is None:
            if exists is not None or send_again:
                raise CommandError(_("Name the key of what is to be settled."))
            self.list_uncertain(using)
            return
        if exists is None and not send_again:
            raise CommandError(_("Say --exists REMOTE_ID or --send-again."))
        item = self.find(key, using)
        actor = self.find_actor(options["by"], using)
        try:
            settle(item, exists=exists, send_again=send_again, actor=actor, source=TicketEvent.Source.COMMAND)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        text = _("%(key)s: will be sent again") if send_again else _("%(key)s: exists as %(remote_id)s")
        self.stdout.write(text % {"key": key, "remote_id": exists})

    def find(self, key: uuid.UUID, using: str) -> Submission:
        """Return the ticket, comment or file of this key."""
        for model in (Ticket, Comment, Attachment):
            item: Submission | None = model._base_manager.using(using).filter(key=key).first()
            if item is not None:
                return item
        raise CommandError(_("No ticket, comment or file has the key %(key)s.") % {"key": key})

    def find_actor(self, name: str | None, using: str) -> AbstractBaseUser | None:
        """Return the user of this name, None if none was given."""
        try:
            return None if name is None else find_user(name, using=using)
        except LookupError as error:
            raise CommandError(f"--by {name}: {error}") from None

    def list_uncertain(self, using: str) -> None:
        """Print a line for each: key, account, what it is, and the remote id that a late answer has named."""
        tickets = Ticket.objects.using(using).filter(
            Q(delivery=Delivery.UNCERTAIN) | Q(delivery=Delivery.DELIVERED, close_delivery=Delivery.UNCERTAIN)
        )
        for ticket in tickets.order_by("created_at"):
            what = _("ticket") if ticket.delivery == Delivery.UNCERTAIN else _("closing of %(remote_id)s")
            self.print_line(ticket, ticket, what)
        for model, what in ((Comment, _("comment of %(remote_id)s")), (Attachment, _("file of %(remote_id)s"))):
            rows = model._base_manager.using(using).filter(delivery=Delivery.UNCERTAIN).select_related("ticket")
            for item in rows.order_by("created_at"):
                self.print_line(item, item.ticket, what)

    def print_line(self, item: Submission, ticket: Ticket, what: str) -> None:
        words = [str(item.key), ticket.provider, what % {"remote_id": ticket.remote_id}]
        if remote_id := known_remote_id(item):
            words.append(_("(a late answer named %(remote_id)s)") % {"remote_id": remote_id})
        self.stdout.write(" ".join(words))
