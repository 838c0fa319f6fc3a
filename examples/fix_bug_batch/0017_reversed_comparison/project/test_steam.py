from steam import portion_user, tool_upper


def test_portion_user():
    assert portion_user(10, 2) is False
    assert portion_user(3, 4) is True
    assert portion_user(4, 12) is False
    assert portion_user(6, 9) is False


def test_tool_upper():
    assert tool_upper(5, 9) == 48
