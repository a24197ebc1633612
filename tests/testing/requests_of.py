"""Which side sends a request: the documentation of its type says it."""

from tests.testing.surroundings import VERSIONS

_BOTH = {"DataTransfer"}  # either side sends it


def _find(version, *senders):
    features = [feature for profile in VERSIONS[version].PROFILES for feature in profile]

    def is_sent(feature):
        text = feature.request_type.__doc__ or ""
        return feature.name in _BOTH or any(f"sent by the {sender}" in text for sender in senders)

    return sorted(filter(is_sent, features), key=lambda feature: feature.name)


def requests_of_a_csms(version):
    """Return the features whose requests a CSMS sends, by name."""
    return _find(version, "CSMS", "central system")


def requests_of_a_station(version):
    """Return the features whose requests a station sends, by name."""
    return _find(version, "charge point", "charging station")
