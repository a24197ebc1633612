"""Everything is in setup.cfg; this file lets every pip and setuptools find it."""

from setuptools import setup

setup()
