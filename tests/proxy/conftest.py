"""The fixture of the tests of the proxy."""

from tests.proxy.rig import rig

__all__ = ["rig"]
