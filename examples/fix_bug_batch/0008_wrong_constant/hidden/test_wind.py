from wind import sheet


def test_sheet():
    assert sheet(4, 2) == 8
    assert sheet(7, 0) == 16
    assert sheet(1, 9) == -5
    assert sheet(2, 1) == 5
    assert sheet(7, 4) == 12
    assert sheet(9, 9) == 11
    assert sheet(2, 3) == 3
    assert sheet(8, 12) == 6
