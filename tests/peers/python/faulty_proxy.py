"""A `faulty` proxy before HOST:PORT that is told on standard input how bad it is.

faulty_proxy.py HOST:PORT [PORT TO LISTEN ON]. It prints its URL, answers each word with a line, and ends with its standard input.
"""

import asyncio
import json
import sys

from faulty.core import FaultyProxy
from faulty.middlewares import DropMiddleware, LatencyMiddleware, ThrottleMiddleware

RULES = {
    "clear": lambda: [],
    "slow": lambda: [LatencyMiddleware(10, 40), ThrottleMiddleware(256 * 1024)],
    "lossy": lambda: [DropMiddleware(0.02)],
}


async def main(target, port):
    host, target_port = target.rsplit(":", 1)
    proxy = FaultyProxy("127.0.0.1", port, host, int(target_port))
    async with proxy:
        port = proxy._server.sockets[0].getsockname()[1]
        print(json.dumps({"url": f"127.0.0.1:{port}"}), flush=True)
        loop = asyncio.get_running_loop()
        while word := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
            proxy.clear_all_rules()
            for rule in RULES[word]():
                proxy.add_ingress_rule(rule)
            for rule in RULES[word]():
                proxy.add_egress_rule(rule)
            print(json.dumps({"now": word}), flush=True)
    # Connections that are open would keep it.
    sys.exit(0)


asyncio.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0))
