"""Celery tasks that give orders to chargers, whichever process these are connected to. See README.md."""

import os
from typing import Any, List

from celery import Celery, Task
from celery.signals import worker_process_shutdown

from ocppj import ClusterUnavailable, RedisCluster, RemoteServer, UnknownClient, v16

REDIS = os.environ.get("REDIS_URL", "redis://localhost:6379/0")

app = Celery("tasks", broker=REDIS, backend=REDIS)
# It begins with its first call, in the process that makes it: each process of the pool takes part by itself.
remote = RemoteServer(RedisCluster(REDIS), profiles=v16.PROFILES, timeout=20)


@app.task(bind=True, max_retries=5)
def start_charging(self: Task, charger: str, tag: str, connector: int = 1) -> str:
    """Have a charger start, and return what it says: "Accepted" or "Rejected".

    A task that is tried again must not give an order twice. So it is tried again only if nothing was sent.
    """
    order = v16.RemoteStartTransactionRequest(id_tag=tag, connector_id=connector)
    try:
        return str(remote.call(charger, order).status)
    except UnknownClient as error:  # it is away: perhaps it is back in a moment
        raise self.retry(exc=error, countdown=30) from error
    except ClusterUnavailable as error:
        if error.maybe_sent:
            raise
        raise self.retry(exc=error, countdown=10) from error


@app.task
def chargers() -> List[str]:
    """Return the ids of all chargers that are connected, to whichever process."""
    return remote.client_ids()


@worker_process_shutdown.connect
def leave(**_: Any) -> None:
    remote.stop()
