"""Tells PyInstaller where `hook-ocppj.py` is: see the entry point ``pyinstaller40`` in setup.cfg."""

from pathlib import Path
from typing import List

__all__ = ["hook_folders"]


def hook_folders() -> List[str]:
    """Return the folders that have hooks. PyInstaller calls it."""
    return [str(Path(__file__).resolve().parent)]
