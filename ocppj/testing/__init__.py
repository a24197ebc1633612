"""Tools for tests of charge points and central systems: scripted peers, simulated stations, held clocks.

A name is imported when it is first used, so `import ocppj.testing` costs next to nothing.
"""

from ..lazy import TYPE_CHECKING, hooks

if TYPE_CHECKING:
    from ..clock import ManualClock
    from ..ws.memory import MemoryNetwork
    from .csms import ScriptedCSMS
    from .defaults import default_response
    from .examples import example
    from .journal import Journal
    from .pki import TestPKI
    from .replies import CLOSE, DROP, SILENCE, After, Raw
    from .rules import FrameJudge
    from .seen import Seen
    from .simulation.connectors import IdToken, Vehicle
    from .simulation.fleet import Fleet
    from .simulation.station import SimulatedStation
    from .station import ScriptedStation
    from .transcript import Transcript
    from .unittest_case import OCPPTestCase
else:
    #: Where the public names are: the same as above.
    _HOMES = {
        "..clock": "ManualClock",
        "..ws.memory": "MemoryNetwork",
        ".csms": "ScriptedCSMS",
        ".defaults": "default_response",
        ".examples": "example",
        ".journal": "Journal",
        ".pki": "TestPKI",
        ".replies": "CLOSE DROP SILENCE After Raw",
        ".rules": "FrameJudge",
        ".seen": "Seen",
        ".simulation.connectors": "IdToken Vehicle",
        ".simulation.fleet": "Fleet",
        ".simulation.station": "SimulatedStation",
        ".station": "ScriptedStation",
        ".transcript": "Transcript",
        ".unittest_case": "OCPPTestCase",
    }
    __getattr__, __dir__ = hooks(__name__, _HOMES)

__all__ = [
    "CLOSE",
    "DROP",
    "SILENCE",
    "After",
    "Fleet",
    "FrameJudge",
    "IdToken",
    "Journal",
    "ManualClock",
    "MemoryNetwork",
    "OCPPTestCase",
    "Raw",
    "ScriptedCSMS",
    "ScriptedStation",
    "Seen",
    "SimulatedStation",
    "TestPKI",
    "Transcript",
    "Vehicle",
    "default_response",
    "example",
]
