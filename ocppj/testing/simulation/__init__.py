"""Simulated charging stations.

One station is one `Client`, and many small parts (`core.Core`). It has no thread of its own: everything that happens in
it is an event, and events run one at a time (`mailbox.Mailbox`). So a thousand of them share readers and timers.

==================  ================================================================================================
`station`           `SimulatedStation`: what a user calls
`core`              `Core`: the parts of a station, joined; what a functional block is handed
`behaviour`         what the model asks of an OCPP version: `Behaviour`, `Block`
`v16`, `v2`         the versions: one file for each functional block
`mailbox`           the events of a station, one at a time
`scheduler`         the timers of many stations on one clock
`simtime`           simulated time, and the timers of one station
`link`              the connection: opened, lost, regained, closed
`background`        the threads on which it connects and stops
`outbox`            the requests of the station, one after the other, made when their turn has come
`boot`              registration and heartbeats
`settings`          configuration keys and variables
`connectors`        connectors, their status, vehicles
`transactions`      how transactions begin and end
`energy`            how much power flows, and when that changes
`meter`             energy registers and samples
`sampling`          when samples are taken
`charging_profiles` limits, composite schedules
`authorization`     local list, cache, decisions
`reservations`      reservations
`availability`      operative or not
`power`             on, off, offline, reset
`drivers`           what people do
`firmware`          updates, and uploads of logs
`certificates`      the store of certificates
`faults`            behaviour that is bent for a test
`summary`           counts
`fleet`             `Fleet`: many stations
`fleet_clock`       one thread for all timers of a fleet
==================  ================================================================================================
"""
