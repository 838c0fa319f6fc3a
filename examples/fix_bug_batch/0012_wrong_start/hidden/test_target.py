from target import storm


def test_storm():
    assert storm([8, 6, 3]) == 16
    assert storm([2, 6]) == 2
    assert storm([2, 4, 4, 7]) == 15
    assert storm([4, 2, 9, 4]) == 17
    assert storm([4, 6, 7]) == 15
    assert storm([4, 1]) == 2
    assert storm([4, 9]) == 17
    assert storm([6, 6, 4, 5]) == 2
