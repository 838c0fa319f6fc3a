from past.quarter_stage import wall, window_pond


def test_window_pond():
    assert window_pond(11, 10) == 11
    assert window_pond(1, 5) == 6


def test_wall():
    assert wall([2, 5, 9]) == 27
    assert wall([7, 7, 5, 0]) == 28
