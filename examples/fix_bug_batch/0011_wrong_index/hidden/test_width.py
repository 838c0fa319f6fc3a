from width import plant


def test_plant():
    assert plant([9, 9, 4]) == 36
    assert plant([3, 7, 2, 7]) == 49
    assert plant([8, 2, 0, 0]) == 0
    assert plant([1, 0, 6, 4]) == 0
    assert plant([6, 3]) == 9
    assert plant([2, 1, 0, 8]) == 8
    assert plant([1, 9, 4]) == 36
    assert plant([4, 8, 1]) == 8
