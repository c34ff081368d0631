"""Serve the fake vendors: `python -m django_support_tickets.testing.sandbox --port 8800`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from django_support_tickets.testing.sandbox.sandbox import serve

PROGRAM = "python -m django_support_tickets.testing.sandbox"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: loopback only)")
    parser.add_argument("--port", type=int, default=8800, help="port to listen on; 0 takes a free one")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds slept before each answer")
    parser.add_argument("--faults", type=float, default=0.0, help="share of requests that fail, 0 to 1")
    parser.add_argument("--seed", type=int, default=None, help="replay the faults and ids of an earlier run")
    given = parser.parse_args(arguments)
    serve(given.host, given.port, latency=given.latency, fault_rate=given.faults, seed=given.seed)


if __name__ == "__main__":
    main()
