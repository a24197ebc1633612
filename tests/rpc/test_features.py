"""Features and profiles."""

import pytest

from ocppj import DuplicateFeature, Endpoint, Feature, Profile, UsageError, v16, v21
from ocppj.rpc.dialect import V16, V21

RESET = Feature("Reset", v16.ResetRequest, v16.ResetResponse)
CLEAR = Feature("ClearCache", v16.ClearCacheRequest, v16.ClearCacheResponse)


def test_a_profile_finds_its_features_by_name():
    profile = Profile("mine", V16, RESET)
    profile.add_feature(CLEAR)
    assert profile.get_feature("Reset") is RESET
    assert profile.supports_feature("ClearCache")
    assert profile.get_feature("reset") is None
    assert not profile.supports_feature("Heartbeat")
    assert list(profile) == [RESET, CLEAR]
    assert repr(profile) == "<Profile 'mine' of OCPP 1.6, 2 features>"


def test_a_profile_refuses_two_features_of_the_same_name():
    profile = Profile("mine", V16, RESET)
    with pytest.raises(DuplicateFeature, match="'mine'.*'Reset'"):
        profile.add_feature(Feature("Reset", v16.ClearCacheRequest, v16.ClearCacheResponse))
    assert profile.get_feature("Reset") is RESET


@pytest.mark.parametrize("name", ["", "a" * 37, None, 7])
def test_a_feature_name_has_1_to_36_characters(name):
    with pytest.raises(UsageError, match="name"):
        Feature(name, v16.ResetRequest, v16.ResetResponse)


def test_a_bundled_feature_reads_its_schemas_on_demand():
    feature = Feature.bundled(V16, "Reset")
    assert feature.request_schema()["required"] == ["type"]
    assert feature.response_schema()["required"] == ["status"]
    missing = Feature.bundled(V16, "NoSuch")
    with pytest.raises(FileNotFoundError):
        missing.request_schema()


def test_a_bundled_feature_imports_its_types_on_demand():
    feature = Feature.bundled(V16, "Reset")
    assert feature.request_type is v16.ResetRequest
    assert feature.response_type is v16.ResetResponse
    assert repr(feature) == "<Feature 'Reset' of OCPP 1.6>"
    with pytest.raises(AttributeError, match="NoSuchRequest"):
        _ = Feature.bundled(V16, "NoSuch").request_type
    with pytest.raises(AttributeError, match="colour"):
        _ = feature.colour
    with pytest.raises(UsageError, match="name"):
        Feature.bundled(V16, "")


def test_a_bundled_feature_without_response_has_a_message_of_its_name():
    feature = Feature.bundled(V21, "NotifyPeriodicEventStream", answered=False)
    assert feature.request_type is v21.NotifyPeriodicEventStream
    assert feature.request_schema()["required"] == ["data", "id", "pending", "basetime"]
    assert feature.response_type is None
    assert feature.response_schema is None


def test_a_profile_in_place_of_a_list_is_refused_with_its_name():
    with pytest.raises(UsageError, match="list of profiles"):
        Endpoint(v16.CORE)
