"""What an outcome means for the whole account: pauses and the breaker, shared by all workers."""

from __future__ import annotations

from django_support_tickets.exceptions import AccessDenied, Ambiguous, Busy, NotSent, ProviderError
from django_support_tickets.models.pauses import note_failure, note_success, pause_busy, pause_denied
from django_support_tickets.models.retries import repeated
from django_support_tickets.outbox.claims import Claim
from django_support_tickets.outbox.facts import describe_cause


def note_answer(claim: Claim) -> None:
    """Tell the account that its vendor answers, where that is news."""
    if claim.is_troubled:
        repeated(lambda: note_success(claim.entry.provider, using=claim.using), using=claim.using)


def note_error(claim: Claim, error: ProviderError) -> None:
    """Pause the account, count a failure of its vendor, or note that it answers: one ticket's 4xx is an answer.

    A fault on this side, such as a stored file that is gone, says nothing about the vendor.
    """
    repeated(lambda: _note_error(claim, error), using=claim.using)


def _note_error(claim: Claim, error: ProviderError) -> None:
    alias, using = claim.entry.provider, claim.using
    match error:
        case AccessDenied():
            pause_denied(alias, detail=describe_cause(error), using=using)
        case Busy():
            pause_busy(alias, retry_after=error.retry_after, detail=describe_cause(error), using=using)
        case _ if error.is_ours:
            pass
        case NotSent() | Ambiguous() if error.status is None or error.status >= 500:
            note_failure(alias, detail=describe_cause(error), using=using)
        case _ if claim.is_troubled:
            note_success(alias, using=using)
