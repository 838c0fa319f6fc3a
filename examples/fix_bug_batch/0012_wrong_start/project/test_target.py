from target import storm


def test_storm():
    assert storm([0, 4]) == 2
    assert storm([8, 3, 0]) == 16
