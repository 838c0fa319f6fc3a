from sample.voltage_rope import queue_pencil_storm


def test_queue_pencil_storm():
    assert queue_pencil_storm(3) == -2
    assert queue_pencil_storm(4) == -5
    assert queue_pencil_storm(1) == 1
    assert queue_pencil_storm(2) == 0
    assert queue_pencil_storm(5) == -9
    assert queue_pencil_storm(6) == -14
    assert queue_pencil_storm(0) == 1
