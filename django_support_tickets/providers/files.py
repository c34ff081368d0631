from __future__ import annotations

from django_support_tickets.providers.base import Provider
from django_support_tickets.providers.http import HttpProvider
from django_support_tickets.transport.foreign import ForeignFiles


def foreign_files_of(provider: Provider) -> ForeignFiles:
    """Return where this account's files may come from; that its own certificate is not checked never extends to it."""
    return ForeignFiles(
        alias=provider.alias,
        hosts=provider.attachment_hosts,
        base_url=provider.base_url if isinstance(provider, HttpProvider) else "",
        timeout=provider.timeout,
        deadline=provider.upload_deadline,
        verify=provider.verify or True,
    )
