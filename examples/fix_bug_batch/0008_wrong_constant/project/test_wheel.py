from wheel import quarter_ring


def test_quarter_ring():
    assert quarter_ring(1, 10) == -2
