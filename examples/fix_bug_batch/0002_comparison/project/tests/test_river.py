from steam.river import profit_round, summer


def test_summer():
    assert summer(11, 2) == -6


def test_profit_round():
    assert profit_round([9, 3, 8], 3) == 11
    assert profit_round([1, 5], 9) == 12
