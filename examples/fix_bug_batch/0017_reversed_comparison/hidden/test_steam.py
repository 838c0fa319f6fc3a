from steam import portion_user


def test_portion_user():
    assert portion_user(1, 2) is True
    assert portion_user(3, 10) is False
    assert portion_user(6, 9) is False
    assert portion_user(1, 5) is True
    assert portion_user(0, 3) is True
    assert portion_user(6, 7) is True
    assert portion_user(4, 12) is False
    assert portion_user(8, 12) is False
