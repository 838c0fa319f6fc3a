from storm import user


def test_user():
    assert user(5, 4) == 0
    assert user(12, 7) == 7
    assert user(12, 10) == 7
    assert user(12, 5) == 7
    assert user(12, 8) == 7
    assert user(3, 12) == 12
    assert user(5, 10) == 10
    assert user(0, 4) == 4
