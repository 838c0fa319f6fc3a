from river.season import ratio_profit


def test_ratio_profit():
    assert ratio_profit(1, 10) == -8
    assert ratio_profit(11, 8) == 4
    assert ratio_profit(0, 9) == -8
    assert ratio_profit(1, 11) == -9
    assert ratio_profit(1, 12) == -10
    assert ratio_profit(11, 9) == 3
    assert ratio_profit(9, 10) == 0
    assert ratio_profit(4, 2) == 3
