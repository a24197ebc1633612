"""A Flask service with a central system: pages and chargers side by side, on one port. See README.md."""

import logging
import os
from concurrent.futures import TimeoutError as NotYet
from functools import partial
from typing import Any, Tuple

from central import build_server
from flask import Flask, render_template, request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from store import Store

import ocppj
from ocppj import v16
from ocppj.metrics import PrometheusMetrics

FOLDER = os.environ.get("SERVICE_FOLDER", ".")
REDIS_URL = os.environ.get("REDIS_URL", "")  # with it, all workers are one central system
CHARGERS = """SELECT charger.id, charger.status, charging.id AS charging, charging.tag FROM charger
LEFT JOIN charging ON charging.charger = charger.id AND charging.stopped IS NULL ORDER BY charger.id"""

logging.basicConfig(level=logging.INFO)
app = Flask(__name__)
store = Store(f"{FOLDER}/service.db")
server = build_server(store, f"{FOLDER}/commands.db", REDIS_URL)
online = partial(server.client_ids, cluster=bool(REDIS_URL))  # which chargers are connected, to any worker
PrometheusMetrics(server)
app.register_error_handler(ocppj.ClusterUnavailable, lambda error: (str(error), 503))  # Redis is away
app.wsgi_app = server.wsgi_app(app.wsgi_app, path="/ocpp/{id}")


@app.get("/")
def page(said: str = "", code: int = 200) -> Tuple[str, int]:
    return render_template("chargers.html", chargers=store.run(CHARGERS), online=online(), said=said), code


def command(charger: str, order: ocppj.Payload) -> Any:
    """Give a charger an order. It is stored before this waits, so no reload loses it. It is void after 5 minutes."""
    try:
        future = server.open().send_request(charger, order, offline=True, expires=300)
        if charger not in online():
            return page(f"{charger} is away, and gets the order when it is back", 202)
        return page(f"{charger} says {future.result(10).status}")
    except ocppj.UnknownClient:
        return page(f"There is no charger {charger}", 404)
    except ocppj.ValidationError as error:  # a tag that is too long, for example
        return page(f"That is no order: {error}", 400)
    except (NotYet, ocppj.Stopped, ocppj.ConnectionLost):  # it is stored: perhaps another worker sends it
        return page(f"{charger} has not answered yet", 202)
    except ocppj.QueueInUse:  # the worker before a reload has not ended yet
        return (*page("The service restarts: press again", 503), {"Retry-After": "1"})
    except ocppj.OcppjError as error:  # it refused, or the order could not be stored
        return page(f"{charger}: {error}", 502)


@app.post("/chargers")
def add() -> Any:
    charger, password = request.form["id"], request.form["password"]
    if not 0 < len(charger) <= 48 or len(password) < 16:
        return page("A charger has an id of 1 to 48 characters, and a password of at least 16", 400)
    store.add_charger(charger, password)
    return page(f"{charger} may connect")


@app.post("/chargers/<charger>/<any(start, stop):order>")
def order(charger: str, order: str) -> Any:
    if order == "start":
        return command(charger, v16.RemoteStartTransactionRequest(id_tag=request.form["tag"], connector_id=1))
    return command(charger, v16.RemoteStopTransactionRequest(transaction_id=request.form.get("charging", type=int)))


@app.get("/chargers/<charger>/meter")
def meter(charger: str) -> Any:
    return [dict(row) for row in store.run("SELECT * FROM meter WHERE charger = ? ORDER BY at", charger)]


@app.get("/health")
def health() -> Any:
    return {"chargers": len(online()), "known": len(store.run("SELECT id FROM charger"))}


@app.get("/metrics")
def metrics() -> Any:
    return generate_latest(), {"Content-Type": CONTENT_TYPE_LATEST}
