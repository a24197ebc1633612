"""The pages."""

from concurrent.futures import TimeoutError as NotYet

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST

from ocppj import OcppjError, Payload, QueueInUse, Stopped, UnknownClient, ValidationError, v16

from .central import digest_of, server
from .models import Charger, Charging


def page(request: HttpRequest, said: str = "", code: int = 200) -> HttpResponse:
    shown = {"chargers": Charger.objects.order_by("name"), "online": server.client_ids(), "said": said}
    return render(request, "chargers.html", shown, status=code)


def command(request: HttpRequest, charger: str, order: Payload) -> HttpResponse:
    """Give a charger an order. It is on disk before this waits, so no reload loses it. It is void after 5 minutes."""
    try:
        future = server.open().send_request(charger, order, offline=True, expires=300)
        if charger not in server.client_ids():
            return page(request, f"{charger} is away, and gets the order when it is back", 202)
        return page(request, f"{charger} says {future.result(10).status}")
    except UnknownClient:
        return page(request, f"There is no charger {charger}", 404)
    except ValidationError as error:  # a tag that is too long, for example
        return page(request, f"That is no order: {error}", 400)
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
    name, password = request.POST.get("name", ""), request.POST.get("password", "")
    if not 0 < len(name) <= 48 or len(password) < 16:
        return page(request, "A charger has an id of 1 to 48 characters, and a password of at least 16", 400)
    Charger.objects.update_or_create(name=name, defaults={"digest": digest_of(password.encode())})
    return page(request, f"{name} may connect")


@require_POST
def give(request: HttpRequest, charger: str, order: str) -> HttpResponse:
    tag, charging = request.POST.get("tag", ""), request.POST.get("charging", "")
    if order == "start" and tag:
        return command(request, charger, v16.RemoteStartTransactionRequest(id_tag=tag, connector_id=1))
    if order == "stop" and charging.isdecimal():
        return command(request, charger, v16.RemoteStopTransactionRequest(transaction_id=int(charging)))
    return page(request, "That is no order", 400)


def health(request: HttpRequest) -> HttpResponse:
    charging = Charging.objects.filter(stopped=None).count()
    return JsonResponse({"chargers": len(server.client_ids()), "charging": charging})
