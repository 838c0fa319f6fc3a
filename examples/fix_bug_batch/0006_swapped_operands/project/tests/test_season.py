from river.season import ratio_profit, round_steam


def test_round_steam():
    assert round_steam(10, 6) == 6


def test_ratio_profit():
    assert ratio_profit(2, 11) == -8
