from past.quarter_stage import window_pond


def test_window_pond():
    assert window_pond(1, 11) == 0
    assert window_pond(7, 6) == 11
    assert window_pond(5, 5) == 10
    assert window_pond(8, 8) == 10
    assert window_pond(5, 6) == 9
    assert window_pond(3, 2) == 11
    assert window_pond(12, 10) == 12
    assert window_pond(4, 4) == 10
