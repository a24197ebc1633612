"""The side of the chargers. Its handlers run on threads of ocppj, outside Django's requests."""

import hashlib
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Iterator

from django.conf import settings
from django.db import close_old_connections

from ocppj import Server, SQLiteQueueMap, passwords_match, v16

from .models import Charger, Charging

ACCEPTED = v16.IdTagInfo(status="Accepted")


@contextmanager
def database() -> Iterator[None]:
    """Close the thread's connection to the database as Django does at both ends of a request."""
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()


def digest_of(password: bytes) -> str:
    """Return what is kept of a password. A fast hash will do for one that is long and random, as a charger's is."""
    return hashlib.sha256(password).hexdigest()


server = Server(
    profiles=v16.PROFILES,
    queues=SQLiteQueueMap(f"{settings.FOLDER}/commands.db", capacity=100),  # opened when the server begins
    known_clients=lambda charger: Charger.objects.filter(name=charger).exists(),
)


@server.set_basic_auth_handler
@database()
def is_password(charger: str, password: bytes) -> bool:
    known = Charger.objects.filter(name=charger).first()
    return known is not None and passwords_match(digest_of(password).encode(), known.digest)


@server.on(v16.BootNotificationRequest)
def boot(charger: str, request: v16.BootNotificationRequest) -> v16.BootNotificationResponse:
    return v16.BootNotificationResponse(current_time=datetime.now(timezone.utc), interval=300, status="Accepted")


@server.on(v16.HeartbeatRequest)
def heartbeat(charger: str, request: v16.HeartbeatRequest) -> v16.HeartbeatResponse:
    return v16.HeartbeatResponse(current_time=datetime.now(timezone.utc))


@server.on(v16.StatusNotificationRequest)
@database()
def status(charger: str, request: v16.StatusNotificationRequest) -> v16.StatusNotificationResponse:
    Charger.objects.filter(name=charger).update(status=request.status)
    return v16.StatusNotificationResponse()


# These store nothing: all tags may charge, and only the Flask service keeps meter values.
server.on(v16.AuthorizeRequest)(lambda charger, request: v16.AuthorizeResponse(id_tag_info=ACCEPTED))
server.on(v16.MeterValuesRequest)(lambda charger, request: v16.MeterValuesResponse())
server.on(v16.SecurityEventNotificationRequest)(lambda charger, request: v16.SecurityEventNotificationResponse())


@server.on(v16.StartTransactionRequest)
@database()
def begin(charger: str, request: v16.StartTransactionRequest) -> v16.StartTransactionResponse:
    charging, _ = Charging.objects.get_or_create(
        charger_id=charger,
        connector=request.connector_id,
        started=request.timestamp,
        defaults={"tag": request.id_tag, "meter_start": request.meter_start},
    )
    return v16.StartTransactionResponse(transaction_id=charging.pk, id_tag_info=ACCEPTED)


@server.on(v16.StopTransactionRequest)
@database()
def finish(charger: str, request: v16.StopTransactionRequest) -> v16.StopTransactionResponse:
    mine = Charging.objects.filter(pk=request.transaction_id, charger_id=charger)
    mine.update(stopped=request.timestamp, meter_stop=request.meter_stop)
    return v16.StopTransactionResponse()
