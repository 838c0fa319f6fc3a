from prize.room_plant import summer_profit


def test_summer_profit():
    assert summer_profit([3, 9, 8], 7) == 3
    assert summer_profit([5, 6, 4, 5], 8) == 0
    assert summer_profit([7, 7, 3, 0], 10) == 0
    assert summer_profit([2, 4, 1], 10) == 0
    assert summer_profit([3, 7, 9], 8) == 1
    assert summer_profit([6, 1], 0) == 7
    assert summer_profit([2, 8, 7, 5], 0) == 22
    assert summer_profit([4, 7], 4) == 3
