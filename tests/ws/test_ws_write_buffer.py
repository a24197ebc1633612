"""A `WriteBuffer`: bytes that wait to be written, and their deadlines."""

import pytest

from ocppj.ws.stream.write_buffer import WriteBuffer


def test_bytes_are_written_in_order_and_kept_when_a_write_fails():
    buffer = WriteBuffer(4)
    buffer.append(memoryview(b""))
    assert not buffer
    buffer.append(memoryview(b"abcdefghij"))
    buffer.set_deadline(7.0)
    written = []

    def send(data):
        if len(written) == 2:
            raise BlockingIOError
        written.append(bytes(data[:3]))
        return len(written[-1])

    with pytest.raises(BlockingIOError):
        buffer.write(send)
    assert (written, buffer.sent, buffer.queued, len(buffer), buffer.deadline()) == ([b"abc", b"d"], 4, 10, 6, 7.0)
    buffer.write(len)
    assert (len(buffer), bool(buffer), buffer.deadline()) == (0, False, None)
    buffer.append(memoryview(b"xyz"))
    buffer.clear()
    assert (bool(buffer), len(buffer), buffer.sent) == (False, 0, 10)
