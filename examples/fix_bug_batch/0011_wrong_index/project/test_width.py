from width import plant


def test_plant():
    assert plant([5, 6, 1]) == 6
    assert plant([7, 7, 6, 5]) == 35
