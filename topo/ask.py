"""Sends a number of requests, a connection each, and counts who answered."""

import argparse
import asyncio
import json
import sys
from collections import Counter

import aiohttp

from topo.client import CONNECT_TIMEOUT, TOTAL_TIMEOUT

AT_A_TIME = 16


async def ask(url: str, count: int) -> tuple[Counter[str], Counter[str]]:
    """The answers by backend, and the failures by what went wrong."""
    answers: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    room = asyncio.Semaphore(AT_A_TIME)
    timeout = aiohttp.ClientTimeout(total=TOTAL_TIMEOUT, sock_connect=CONNECT_TIMEOUT)
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:

        async def one() -> None:
            try:
                async with room, session.get(url) as response:
                    response.raise_for_status()
                    answers[(await response.json())["backend"]] += 1
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                failures[f"{type(error).__name__}: {error}"] += 1

        await asyncio.gather(*(one() for _ in range(count)))
    return answers, failures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("count", nargs="?", type=int, default=100)
    arguments = parser.parse_args()
    answers, failures = asyncio.run(ask(arguments.url, arguments.count))
    if arguments.json:
        print(json.dumps({"answers": answers, "failures": failures}))
        return 1 if failures else 0
    for backend, count in sorted(answers.items()):
        print(f"{backend:8} {count:6}  {count / arguments.count:6.1%}")
    for failure, count in failures.most_common():
        print(f"failed   {count:6}  {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
