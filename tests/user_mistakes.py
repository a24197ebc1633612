"""Mistakes of users. A type checker reports each, in the line that is marked; `tests/test_types.py` sees to it."""

from typing import Optional, Union

from ocppj import Client, DefaultClientDispatcher, MemoryCluster, MemoryHub, RemoteServer, Server, v16, v201

BOOT = v16.BootNotificationRequest(charge_point_vendor="V", charge_point_model="M")

Client("CP_1", nonsense=3)  # mistake: there is no such option
Server(pong_timeout="soon")  # mistake: an option of another type
Server(dispatcher=DefaultClientDispatcher())  # mistake: a dispatcher for a client

client = Client("CP_1", profiles=v16.PROFILES)
server = Server(profiles=v16.PROFILES)
remote = RemoteServer(MemoryCluster(MemoryHub()), profiles=v16.PROFILES)
RESET = v16.ResetRequest(type="Soft")


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


@server.on(v16.HeartbeatRequest)  # mistake: without the message id it cannot answer later
def returns_nothing(client_id: str, request: v16.HeartbeatRequest) -> None:
    raise NotImplementedError


@client.on(v16.ResetRequest)  # mistake: the same on a client
def may_return_nothing(request: v16.ResetRequest) -> Optional[v16.ResetResponse]:
    raise NotImplementedError


@server.on(v16.HeartbeatRequest, v201.HeartbeatRequest)  # mistake: it takes one of the two requests alone
def one_of_two(client_id: str, request: v16.HeartbeatRequest) -> v16.HeartbeatResponse:
    raise NotImplementedError


@client.on(v16.ResetRequest, v16.ClearCacheRequest)  # mistake: it returns the response of neither
def neither(request: Union[v16.ResetRequest, v16.ClearCacheRequest]) -> v16.HeartbeatResponse:
    raise NotImplementedError


server.on()  # mistake: for no type
server.after(v16.HeartbeatRequest, pass_respones=True)  # mistake: there is no such option
server.before("refuse")  # mistake: no function
server.make_request("CP_1", "Reset", "{}")  # mistake: the payload is an object, not its text
server.remove_observer(5)  # mistake: no function
print(client.call(BOOT).id_tag_info)  # mistake: a field of another response
print(server.stats().nonsense)  # mistake: there is no such figure
Server(cluster=MemoryHub())  # mistake: no cluster
print(remote.call("CP_1", RESET).interval)  # mistake: a field of another response
print(remote.send_request("CP_1", RESET).result().interval)  # mistake: the same of a future


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


@server.on(v16.HeartbeatRequest, v201.HeartbeatRequest)
def two(
    client_id: str, request: Union[v16.HeartbeatRequest, v201.HeartbeatRequest]
) -> Union[v16.HeartbeatResponse, v201.HeartbeatResponse]:
    raise NotImplementedError


@client.on(v16.ResetRequest, v16.ClearCacheRequest, v16.UnlockConnectorRequest)
def three(
    request: Union[v16.ResetRequest, v16.ClearCacheRequest, v16.UnlockConnectorRequest],
) -> Union[v16.ResetResponse, v16.ClearCacheResponse]:
    raise NotImplementedError


@server.on(v16.HeartbeatRequest, v201.HeartbeatRequest, pass_id=True)
def two_later(client_id: str, request: object, message_id: str) -> None:
    server.off(v16.HeartbeatRequest, v201.HeartbeatRequest)


@server.before
def before(client_id: str, action: str, request: object) -> None:
    server.remove_before(before)


@server.after(v16.BootNotificationRequest, pass_response=True)
def booted(client_id: str, request: object, response: v16.BootNotificationResponse) -> None:
    server.remove_after(booted)


@server.set_new_client_handler
def connected(client_id: str) -> None:
    server.set_new_client_handler(None)
    server.set_basic_auth_handler(None)


server.require_boot(is_known=lambda client_id: client_id.startswith("CP"))
server.call("CP_1", server.make_request("CP_1", "Reset", {"type": "Soft"}))
Client("CP_1", ping_interval=None, headers={"X-Name": "value"})
interval: int = client.call(BOOT).interval
response: v16.ResetResponse = remote.call("CP_1", RESET)
statuses = [each.result().status for each in remote.broadcast(RESET).values()]
