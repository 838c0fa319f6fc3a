from wind import sheet, tool_upper


def test_sheet():
    assert sheet(5, 12) == 0


def test_tool_upper():
    assert tool_upper(7, 0) == 6
