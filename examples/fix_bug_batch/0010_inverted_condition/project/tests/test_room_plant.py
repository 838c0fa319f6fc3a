from prize.room_plant import summer_profit, value


def test_value():
    assert value([2, 1, 7]) == 9


def test_summer_profit():
    assert summer_profit([9, 4], 3) == 7
    assert summer_profit([2, 8, 1, 4], 11) == 0
