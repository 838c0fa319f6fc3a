from sample.voltage_rope import queue_pencil_storm


def test_queue_pencil_storm():
    assert queue_pencil_storm(3) == -2
