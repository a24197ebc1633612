"""The settings of the whole process."""

import logging
import uuid

import pytest

from ocppj import Endpoint, set_logger, set_message_id_generator, set_message_validation, settings, v16


@pytest.fixture(autouse=True)
def as_they_were():
    logger, validation = settings.get_logger(), settings.process.validation
    yield
    set_logger(logger)
    set_message_id_generator(None)
    set_message_validation(validation)


class Log:
    def __init__(self):
        self.lines = []

    def warning(self, message, *arguments):
        self.lines.append(message % arguments)

    debug = info = error = exception = warning


def test_the_default_logger_is_silent_and_standard(capsys):
    assert settings.get_logger() is logging.getLogger("ocppj")
    assert any(isinstance(each, logging.NullHandler) for each in logging.getLogger("ocppj").handlers)


def test_a_custom_logger_is_used():
    log = Log()
    set_logger(log)
    Endpoint(v16.PROFILES).parse_message([3, "lost", {}], {})
    assert log.lines == ["endpoint: ignored an answer to 'lost', which is not pending"]


def test_an_endpoints_own_logger_goes_first():
    log, own = Log(), Log()
    set_logger(log)
    Endpoint(v16.PROFILES, logger=own).parse_message([3, "lost", {}], {})
    assert (len(log.lines), len(own.lines)) == (0, 1)


def test_none_is_no_logger():
    before = settings.get_logger()
    with pytest.raises(ValueError, match="None"):
        set_logger(None)
    assert settings.get_logger() is before


def test_ids_are_random_uuids():
    endpoint = Endpoint(v16.PROFILES)
    ids = {endpoint.create_call(v16.HeartbeatRequest()).unique_id for _ in range(100)}
    assert len(ids) == 100
    assert all(uuid.UUID(each).version == 4 and str(uuid.UUID(each)) == each for each in ids)
    assert all(uuid.UUID(each).variant == uuid.RFC_4122 for each in ids)


def test_the_generator_is_called_for_each_new_call():
    numbers = iter(range(10))
    set_message_id_generator(lambda: f"id-{next(numbers)}")
    endpoint = Endpoint(v16.PROFILES)
    assert [endpoint.create_call(v16.HeartbeatRequest()).unique_id for _ in range(2)] == ["id-0", "id-1"]
    own = Endpoint(v16.PROFILES, message_id_generator=lambda: "own")
    assert own.create_call(v16.HeartbeatRequest()).unique_id == "own"
    assert own.create_call(v16.HeartbeatRequest(), message_id="given").unique_id == "given"
    set_message_id_generator(None)
    assert len(endpoint.create_call(v16.HeartbeatRequest()).unique_id) == 36


def test_validation_can_be_switched_for_all_and_for_one():
    bad = v16.ResetRequest(type="Gentle")
    endpoint, strict = Endpoint(v16.PROFILES), Endpoint(v16.PROFILES, validate=True)
    set_message_validation(False)
    assert endpoint.create_call(bad).action == "Reset"
    with pytest.raises(Exception, match="Gentle"):
        strict.create_call(bad)
    strict.set_message_validation(None)
    assert strict.create_call(bad).action == "Reset"
    set_message_validation(True)
    with pytest.raises(Exception, match="Gentle"):
        endpoint.create_call(bad)
