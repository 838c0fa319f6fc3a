from stock import tool_street


def test_tool_street():
    assert tool_street(1) == 14
    assert tool_street(2) == 20
    assert tool_street(0) == 9
    assert tool_street(4) == 35
    assert tool_street(3) == 27
    assert tool_street(5) == 44
