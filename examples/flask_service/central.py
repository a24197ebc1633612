"""The side of the chargers. Handlers store before they answer. Keys keep once what a charger says twice."""

from datetime import datetime, timezone

from store import Store

from ocppj import RedisCluster, RedisQueueMap, Server, SQLiteQueueMap, v16

ENERGY = "Energy.Active.Import.Register"
BEGIN = "INSERT OR IGNORE INTO charging (charger, connector, started, tag, meter_start) VALUES (?, ?, ?, ?, ?)"
KEEP = "INSERT OR IGNORE INTO meter VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
END = "UPDATE charging SET stopped = ?, meter_stop = ? WHERE id = ? AND charger = ?"


def build_server(store: Store, queue_path: str, redis_url: str = "") -> Server:
    """Return a server that begins in the process that serves. Commands wait in the file, or in Redis."""
    cluster = RedisCluster(redis_url) if redis_url else None
    queues = RedisQueueMap(cluster, capacity=100) if cluster else SQLiteQueueMap(queue_path, capacity=100)
    server = Server(profiles=v16.PROFILES, queues=queues, known_clients=store.knows, cluster=cluster)
    server.set_basic_auth_handler(store.is_password)
    accepted = v16.IdTagInfo(status="Accepted")

    @server.on(v16.BootNotificationRequest)
    def boot(charger: str, request: v16.BootNotificationRequest) -> v16.BootNotificationResponse:
        return v16.BootNotificationResponse(current_time=datetime.now(timezone.utc), interval=300, status="Accepted")

    @server.on(v16.HeartbeatRequest)
    def heartbeat(charger: str, request: v16.HeartbeatRequest) -> v16.HeartbeatResponse:
        return v16.HeartbeatResponse(current_time=datetime.now(timezone.utc))

    server.on(v16.SecurityEventNotificationRequest)(lambda charger, request: v16.SecurityEventNotificationResponse())

    @server.on(v16.StatusNotificationRequest)
    def status(charger: str, request: v16.StatusNotificationRequest) -> v16.StatusNotificationResponse:
        store.run("UPDATE charger SET status = ? WHERE id = ?", request.status, charger)
        return v16.StatusNotificationResponse()

    @server.on(v16.AuthorizeRequest)
    def authorize(charger: str, request: v16.AuthorizeRequest) -> v16.AuthorizeResponse:
        return v16.AuthorizeResponse(id_tag_info=accepted)

    @server.on(v16.StartTransactionRequest)
    def begin(charger: str, request: v16.StartTransactionRequest) -> v16.StartTransactionResponse:
        key = (charger, request.connector_id, request.timestamp.isoformat())
        store.run(BEGIN, *key, request.id_tag, request.meter_start)
        row = store.run("SELECT id FROM charging WHERE charger = ? AND connector = ? AND started = ?", *key)[0]
        return v16.StartTransactionResponse(transaction_id=row["id"], id_tag_info=accepted)

    @server.on(v16.MeterValuesRequest)
    def measure(charger: str, request: v16.MeterValuesRequest) -> v16.MeterValuesResponse:
        for each in request.meter_value:
            key = (charger, request.connector_id, request.transaction_id or 0, each.timestamp.isoformat())
            for sample in each.sampled_value:
                kind = (sample.phase, sample.location, sample.context, sample.format, sample.unit)
                store.run(KEEP, *key, sample.measurand or ENERGY, *(part or "" for part in kind), sample.value)
        return v16.MeterValuesResponse()

    @server.on(v16.StopTransactionRequest)
    def finish(charger: str, request: v16.StopTransactionRequest) -> v16.StopTransactionResponse:
        store.run(END, request.timestamp.isoformat(), request.meter_stop, request.transaction_id, charger)
        return v16.StopTransactionResponse()

    return server
