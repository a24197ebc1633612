"""The pages."""

from concurrent.futures import TimeoutError as NotYet

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST

from ocppj import OcppjError, Payload, QueueInUse, Stopped, UnknownClient, v16

from .central import digest_of, server
from .models import Charger, Charging


def page(request: HttpRequest, said: str = "", code: int = 200) -> HttpResponse:
    online = server.client_ids()
    chargers = [
        {
            "name": each.name,
            "status": each.status,
            "is_online": each.name in online,
            "charging": each.charging_set.filter(stopped=None).first(),
        }
        for each in Charger.objects.order_by("name")
    ]
    return render(request, "chargers.html", {"chargers": chargers, "said": said}, status=code)


def command(request: HttpRequest, charger: str, order: Payload) -> HttpResponse:
    """Give a charger an order. It is on disk before this waits, so no reload loses it. It is void after 5 minutes."""
    try:
        future = server.open().send_request(charger, order, offline=True, expires=300)
        if charger not in server.client_ids():
            return page(request, f"{charger} is away, and gets the order when it is back", 202)
        return page(request, f"{charger} says {future.result(10).status}")
    except UnknownClient:
        return page(request, f"There is no charger {charger}", 404)
    except (NotYet, Stopped):
        return page(request, f"{charger} has not answered yet", 202)
    except QueueInUse:  # the worker before a reload has not ended yet
        response = page(request, "The service restarts: press again", 503)
        response["Retry-After"] = "1"
        return response
    except OcppjError as error:  # it refused, or the order could not be stored
        return page(request, f"{charger}: {error}", 502)


@require_POST
def add(request: HttpRequest) -> HttpResponse:
    name, password = request.POST["name"], request.POST["password"]
    Charger.objects.update_or_create(name=name, defaults={"digest": digest_of(password.encode())})
    return page(request, f"{name} may connect")


@require_POST
def start(request: HttpRequest, charger: str) -> HttpResponse:
    order = v16.RemoteStartTransactionRequest(id_tag=request.POST["tag"], connector_id=1)
    return command(request, charger, order)


@require_POST
def stop(request: HttpRequest, charger: str) -> HttpResponse:
    return command(request, charger, v16.RemoteStopTransactionRequest(transaction_id=int(request.POST["charging"])))


def health(request: HttpRequest) -> HttpResponse:
    return JsonResponse(
        {"chargers": len(server.client_ids()), "charging": Charging.objects.filter(stopped=None).count()}
    )
