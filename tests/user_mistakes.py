"""Ten mistakes of users. A type checker reports each, in the line that is marked; `tests/test_types.py` sees to it."""

from ocppj import Client, DefaultClientDispatcher, Server, v16

BOOT = v16.BootNotificationRequest(charge_point_vendor="V", charge_point_model="M")

Client("CP_1", nonsense=3)  # mistake: there is no such option
Server(pong_timeout="soon")  # mistake: an option of another type
Server(dispatcher=DefaultClientDispatcher())  # mistake: a dispatcher for a client

client = Client("CP_1", profiles=v16.PROFILES)
server = Server(profiles=v16.PROFILES)


@server.on(v16.BootNotificationRequest)  # mistake: a function for another request
def other_request(client_id: str, request: v16.HeartbeatRequest) -> v16.BootNotificationResponse:
    raise NotImplementedError


@server.on(v16.BootNotificationRequest)  # mistake: it returns another response
def other_response(client_id: str, request: v16.BootNotificationRequest) -> v16.HeartbeatResponse:
    raise NotImplementedError


@server.on(v16.BootNotificationRequest)  # mistake: a coroutine
async def coroutine(client_id: str, request: v16.BootNotificationRequest) -> v16.BootNotificationResponse:
    raise NotImplementedError


@server.on(v16.BootNotificationRequest)  # mistake: no client_id
def no_client_id(request: v16.BootNotificationRequest) -> v16.BootNotificationResponse:
    raise NotImplementedError


@client.on(v16.ResetRequest)  # mistake: a client's handler has no client_id
def with_client_id(client_id: str, request: v16.ResetRequest) -> v16.ResetResponse:
    raise NotImplementedError


print(client.call(BOOT).id_tag_info)  # mistake: a field of another response
print(server.stats().nonsense)  # mistake: there is no such figure


# No mistakes:


@server.on(v16.BootNotificationRequest)
def boot(client_id: str, request: v16.BootNotificationRequest) -> v16.BootNotificationResponse:
    raise NotImplementedError


@server.on(v16.HeartbeatRequest, pass_id=True)
def heartbeat(client_id: str, request: v16.HeartbeatRequest, message_id: str) -> None:
    server.send_error(client_id, message_id, "GenericError")


@client.on(v16.ResetRequest)
def reset(request: v16.ResetRequest) -> v16.ResetResponse:
    return v16.ResetResponse(status="Accepted")


Client("CP_1", ping_interval=None, headers={"X-Name": "value"})
interval: int = client.call(BOOT).interval
