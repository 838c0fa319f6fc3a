from storm import pole_plant, user


def test_user():
    assert user(5, 12) == 12
    assert user(3, 0) == -2
    assert user(0, 3) == 3


def test_pole_plant():
    assert pole_plant([2, 2], 6) == -4
    assert pole_plant([9, 5], 0) == 5
