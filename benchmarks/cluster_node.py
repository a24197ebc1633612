"""A process of a cluster, for `cluster.py`: a server, or a `RemoteServer`.

cluster_node.py server [--redis URL] [--ping SECONDS] [--attempts N]        without a URL: no cluster
cluster_node.py remote --redis URL
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any, Callable, Dict

from harness import ROOT, obey, percentiles

sys.path.insert(0, str(ROOT))

from ceiling import Pause
from ours import answer_all

import ocppj
from ocppj import v16


def timed(once: Callable[[], object], times: int) -> Dict[str, float]:
    """Return the median and the 99th percentile of the times that ``once`` takes, in ms."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        once()
        taken.append(time.perf_counter() - begun)
    p50, p99 = percentiles(taken)
    return {"p50": p50, "p99": p99}


def calls(caller: Any, client_id: str, times: int) -> Dict[str, float]:
    """Call a client again and again."""
    return timed(lambda: caller.call(client_id, v16.ClearCacheRequest()), times)


def two_pings(url: str, times: int) -> Dict[str, float]:
    """Send two PINGs, one after the other, again and again."""
    from redis import Redis

    with Redis.from_url(url) as redis:
        return timed(lambda: (redis.ping(), redis.ping()), times)


def many(caller: Any, client_ids: int, times: int) -> float:
    """Send ``times`` requests to each of the clients, without waiting in between; return the seconds for all."""
    begun = time.perf_counter()
    names = [f"CP{number:05d}" for number in range(client_ids)]
    futures = [caller.send_request(name, v16.ClearCacheRequest()) for _ in range(times) for name in names]
    for future in futures:
        future.result(60)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["server", "remote"])
    parser.add_argument("--redis", default="")
    parser.add_argument("--ping", type=float, default=45.0)
    parser.add_argument("--attempts", type=float, default=2000.0)
    chosen = parser.parse_args()
    cluster = ocppj.RedisCluster(chosen.redis) if chosen.redis else None
    if chosen.kind == "remote":
        assert cluster is not None
        caller: Any = ocppj.RemoteServer(cluster, profiles=v16.PROFILES)
        caller.client_ids()  # it joins now
        ready = 0
    else:
        more: Dict[str, Any] = {"cluster": cluster} if cluster is not None else {}
        caller = ocppj.Server(
            profiles=v16.PROFILES, ping_interval=chosen.ping, max_attempts_per_second=chosen.attempts, **more
        )
        answer_all(caller, Pause(0, 1))
        caller.listen(host="127.0.0.1")
        ready = int(caller.url.split(":")[2].split("/")[0])
    obey(
        ready,
        call=lambda client_id, times: calls(caller, client_id, times),
        many=lambda client_ids, times: many(caller, client_ids, times),
        pings=lambda times: two_pings(chosen.redis, times),
        clients=lambda: len(caller.client_ids()),
    )


if __name__ == "__main__":
    main()
