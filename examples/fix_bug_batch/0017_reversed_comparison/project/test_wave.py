from wave import portion_user, round_tool


def test_portion_user():
    assert portion_user(10, 2) is False
    assert portion_user(3, 4) is True
    assert portion_user(4, 12) is False
    assert portion_user(6, 9) is False


def test_round_tool():
    assert round_tool(5, 9) == 48
