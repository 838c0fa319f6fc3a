from reward import slope_past


def test_slope_past():
    assert slope_past(0, 2) is False
    assert slope_past(8, 8) is True
