from river.season import ratio_profit, steam_treaty


def test_steam_treaty():
    assert steam_treaty(10, 6) == 6


def test_ratio_profit():
    assert ratio_profit(2, 11) == -8
