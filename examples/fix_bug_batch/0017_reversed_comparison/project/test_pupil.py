from pupil import shape_river


def test_shape_river():
    assert shape_river(5, 9) == 1
