"""The public module for signed messages of OCPP 2.x. The code is in `ocppj.rpc.signing`."""

from .rpc.signing import *  # noqa: F403
from .rpc.signing import __all__  # noqa: F401
