"""A folder with the files of a `TestPKI` that stays, and an index that says whose certificate a file is.

``ocppj certs`` writes it. ``ocppj serve --tls`` and ``ocppj simulate --tls --cert`` read it.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Dict, Iterable, List, Sequence, Union

from ..errors import UsageError
from .pki import TestPKI

__all__ = ["find_ca", "find_station", "write_pki"]

_CA, _SERVER, _INDEX = "ca.pem", "server.pem", "stations.json"

Folder = Union[str, "os.PathLike[str]"]


def write_pki(
    folder: Folder,
    *,
    hosts: Sequence[str] = ("localhost", "127.0.0.1", "::1"),
    stations: Iterable[str] = (),
    key_type: str = "ECDSA",
    organization: str = "ocppj",
    replace: bool = False,
) -> Dict[str, Path]:
    """Write a new certificate authority, the certificate of a server, and those of charging stations.

    Args:
        folder: Where the files are written. It is made if there is none.
        hosts: The names and addresses of the server.
        stations: The identities of the charging stations.
        key_type: "ECDSA" or "RSA".
        organization: The organizationName in all certificates.
        replace: Whether files of an earlier call are replaced.

    Returns:
        The files of the charging stations, by identity. The others are ``ca.pem`` and ``server.pem``.

    Raises:
        UsageError: There are such files already, ``trustme`` is not installed, or an identity is too long.
        OSError: The files cannot be written.
    """
    path = Path(folder)
    old = _files_of(path)
    if old and not replace:
        raise UsageError(f"{path} has {', '.join(each.name for each in old[:3])} already")
    path.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="new-", dir=path) as new:  # so a failure leaves the folder as it was
        pki = TestPKI(new, hosts=hosts, key_type=key_type, organization=organization)
        index = {identity: pki.station(identity).name for identity in stations}
        (Path(new) / _INDEX).write_text(json.dumps(index, ensure_ascii=False, indent=1) + "\n", "utf-8")
        for each in old:
            each.unlink()
        for each in _files_of(Path(new)):
            each.rename(path / each.name)
    return {identity: path / name for identity, name in index.items()}


def find_ca(path: Folder) -> Path:
    """Return the file of the authority: ``path`` itself, or ``ca.pem`` in that folder. Raises `UsageError`."""
    found = Path(path)
    found = found / _CA if found.is_dir() else found
    if not found.is_file():
        raise UsageError(f"there is no file {found}: name that of an authority, or a folder of `ocppj certs`")
    return found


def find_station(path: Folder, identity: str) -> Path:
    """Return the file with the certificate and the key of a charging station.

    Args:
        path: A file, which is of any charging station, or a folder that `write_pki` wrote.
        identity: That of the charging station.

    Raises:
        UsageError: There is no such file, or no certificate of that charging station in the folder.
    """
    found = Path(path)
    if found.is_file():
        return found
    try:
        index = json.loads((found / _INDEX).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{found} is neither a certificate with its key, nor a folder of `ocppj certs`") from error
    if not isinstance(index, dict) or identity not in index:
        known = ", ".join(list(index)[:5]) or "none"
        raise UsageError(f"{found} has no certificate of {identity}: it has those of {known}")
    return found / str(index[identity])


def _files_of(folder: Path) -> List[Path]:
    """Return the files of an earlier call."""
    names = [folder / name for name in (_CA, _SERVER, _INDEX)]
    return [each for each in [*names, *sorted(folder.glob("station-*.pem"))] if each.exists()]
