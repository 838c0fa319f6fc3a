from stock import tool_street


def test_tool_street():
    assert tool_street(0) == 9
    assert tool_street(4) == 35
