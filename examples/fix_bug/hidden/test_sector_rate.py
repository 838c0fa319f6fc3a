from sector_rate import window


def test_window():
    assert window([7, 1, 3, 6]) == 85
    assert window([5, 0, 9, 5]) == 95
    assert window([0, 2]) == 10
    assert window([0, 4]) == 20
    assert window([4, 8, 9]) == 105
    assert window([8, 2, 6]) == 80
    assert window([3, 4]) == 35
    assert window([2, 6, 2]) == 50
