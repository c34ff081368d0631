from __future__ import annotations

import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from django_support_tickets.exceptions import AccessDenied, NotSent, ProviderError
from django_support_tickets.transport import (
    Account,
    Request,
    Token,
    Transport,
    account,
    forget_accounts,
    total_deadline,
)
from tests.transport_server import ScriptedServer, Seen, answer


@pytest.fixture(autouse=True)
def new_accounts() -> Iterator[None]:
    forget_accounts()
    yield
    forget_accounts()


def at_once(count: int, work: Callable[[], Any]) -> list[Any]:
    """Return what `count` threads got that started together; an error is what its thread got."""
    results: list[Any] = []
    barrier = threading.Barrier(count)

    def run() -> None:
        barrier.wait()
        try:
            results.append(work())
        except ProviderError as error:
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


class Tokens:
    """A token endpoint that counts and takes its time."""

    def __init__(self, *, seconds: float = 0.05, failure: ProviderError | None = None) -> None:
        self.fetched = 0
        self.failure = failure
        self._seconds = seconds

    def __call__(self) -> Token:
        self.fetched += 1
        number = self.fetched
        time.sleep(self._seconds)
        if self.failure is not None:
            raise self.failure
        return Token(f"token-{number}")


@pytest.mark.fault(34)
class TestTokens:
    def test_20_threads_without_a_token_fetch_one(self) -> None:
        fetch, subject = Tokens(), Account(())
        assert at_once(20, lambda: subject.token("me", fetch)) == ["token-1"] * 20
        assert fetch.fetched == 1

    def test_20_threads_whose_token_was_refused_fetch_one(self) -> None:
        fetch, subject = Tokens(), Account(())
        stale = subject.token("me", fetch)
        assert at_once(20, lambda: subject.token("me", fetch, stale=stale)) == ["token-2"] * 20
        assert subject.token("me", fetch, stale=stale) == "token-2"
        assert fetch.fetched == 2

    def test_20_threads_with_an_expired_token_fetch_one(self) -> None:
        fetch, subject = Tokens(), Account(())
        assert subject.token("me", lambda: Token("old", expires_at=time.monotonic() - 1)) == "old"
        assert at_once(20, lambda: subject.token("me", fetch)) == ["token-1"] * 20
        assert fetch.fetched == 1

    def test_a_fetch_that_fails_fails_for_all_who_waited_and_is_tried_again_later(self) -> None:
        failure = AccessDenied("the credentials are refused", alias="desk", status=401, code="c", reason="words")
        fetch, subject = Tokens(seconds=1.0, failure=failure), Account(())  # who comes later asks again
        results = at_once(20, lambda: subject.token("me", fetch))
        assert fetch.fetched == 1
        assert [(type(error), error.status, error.code, error.reason) for error in results] == [
            (AccessDenied, 401, "c", "words")
        ] * 20
        fetch.failure = None
        assert subject.token("me", fetch) == "token-2"
        assert subject.token("me", fetch) == "token-2"

    def test_an_unexpected_error_of_a_fetch_lets_the_next_thread_try(self) -> None:
        subject = Account(())
        with pytest.raises(ZeroDivisionError):
            subject.token("me", lambda: Token(str(1 // 0)))
        assert subject.token("me", Tokens()) == "token-1"

    def test_identities_have_tokens_of_their_own_and_do_not_wait_for_each_other(self) -> None:
        fetch, subject, names = Tokens(seconds=1.0), Account(()), iter("abcdef")
        started = time.monotonic()
        assert sorted(at_once(6, lambda: subject.token(next(names), fetch))) == [f"token-{n}" for n in range(1, 7)]
        assert time.monotonic() - started < 5

    def test_nobody_waits_longer_than_its_operation_may_take(self) -> None:
        subject, started, released = Account(()), threading.Event(), threading.Event()

        def fetch() -> Token:
            started.set()
            released.wait(60)
            return Token("late")

        thread = threading.Thread(target=subject.token, args=("me", fetch))
        thread.start()
        started.wait()
        before = time.monotonic()
        with total_deadline(0.1), pytest.raises(NotSent, match="another thread"):
            subject.token("me", fetch)
        assert time.monotonic() - before < 30
        released.set()
        thread.join()

    def test_no_secret_is_in_the_frames_of_a_failing_fetch(self) -> None:
        subject = Account(())
        subject.token("canary-identity", lambda: Token("canary-token"))
        failing = Tokens(failure=AccessDenied("no"))
        with pytest.raises(AccessDenied) as caught:
            subject.token("canary-" + "identity", failing, stale="canary-token")
        frames = list(traceback.walk_tb(caught.value.__traceback__))[1:]
        shown = [repr(value) for frame, _ in frames for value in frame.f_locals.values()]
        assert len(frames) >= 3
        assert not [text for text in shown if "canary" in text]

    def test_a_token_does_not_show_itself(self) -> None:
        assert "canary" not in repr(Token("canary"))


@pytest.mark.fault(38)
class TestAccounts:
    def test_an_account_is_kept_until_its_settings_change(self) -> None:
        first = account("desk", ("a",))
        assert account("desk", ("a",)) is first
        assert account("other", ("a",)) is not first
        changed = account("desk", ("b",))
        assert changed is not first
        assert account("desk", ("b",)) is changed

    def test_32_threads_get_their_own_answers(self) -> None:
        def script(sock: socket.socket, seen: Seen) -> None:
            sock.sendall(answer(f'"{seen.target}"'.encode()))

        with ScriptedServer(script) as server:
            transport = Transport(alias="desk", base_url=server.url)

            def work() -> bool:
                name = threading.get_ident()
                paths = [f"{name}/{number}" for number in range(10)]
                requests = [Request(operation="get", method="GET", path=path) for path in paths]
                return [transport.send(request).json() for request in requests] == [f"/{path}" for path in paths]

            assert at_once(32, work) == [True] * 32
            assert server.connections <= 32

    @pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
    def test_a_forked_child_has_neither_connections_nor_tokens_of_its_parent(self) -> None:
        with ScriptedServer() as server:
            transport = Transport(alias="desk", base_url=server.url)
            request = Request(operation="get", method="GET", path="")
            transport.send(request)
            before = transport.account
            before.token("me", Tokens())

            def child() -> bool:
                fetch, new = Tokens(), transport.account
                return new is not before and new.token("me", fetch) == "token-1" and transport.send(request).ok

            assert in_child(child)
            assert transport.account is before
            assert transport.send(request).ok
            assert server.connections == 2

    @pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
    def test_a_fork_while_another_thread_holds_the_locks_does_not_hang(self) -> None:
        reached, go_on = threading.Event(), threading.Event()

        def fetch() -> Token:
            reached.set()
            go_on.wait()
            return Token("t")

        thread = threading.Thread(target=lambda: account("desk", ()).token("me", fetch))
        thread.start()
        reached.wait()
        assert in_child(lambda: account("desk", ()).token("me", Tokens()) == "token-1")
        go_on.set()
        thread.join()


def in_child(check: Callable[[], bool]) -> bool:
    """Return whether `check` holds in a forked process that ends within 10 seconds."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        holds = False
        try:
            holds = check()
        finally:
            os._exit(0 if holds else 1)
    for _ in range(6000):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.01)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return False
