from steam.river import profit_round


def test_profit_round():
    assert profit_round([0, 1, 9], 1) == 12
    assert profit_round([4, 4, 8], 7) == 12
    assert profit_round([6, 7, 4, 7], 1) == 10
    assert profit_round([7, 8, 7], 3) == 10
    assert profit_round([1, 5], 9) == 12
    assert profit_round([1, 4, 3], 5) == 13
    assert profit_round([7, 1, 7], 4) == 11
    assert profit_round([9, 3, 8], 3) == 11
