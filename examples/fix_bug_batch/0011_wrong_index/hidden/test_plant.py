from plant import vector


def test_vector():
    assert vector([9, 9, 4]) == 36
    assert vector([3, 7, 2, 7]) == 49
    assert vector([8, 2, 0, 0]) == 0
    assert vector([1, 0, 6, 4]) == 0
    assert vector([6, 3]) == 9
    assert vector([2, 1, 0, 8]) == 8
    assert vector([1, 9, 4]) == 36
    assert vector([4, 8, 1]) == 8
