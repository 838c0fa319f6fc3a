from sector_rate import prize, steam_score, window


def test_steam_score():
    assert steam_score(1, 0) is False
    assert steam_score(6, 11) is False


def test_window():
    assert window([0, 2]) == 10
    assert window([3, 4]) == 35
    assert window([6, 0, 9]) == 75


def test_prize():
    assert prize([3, 2, 6, 5], 7) == 0
    assert prize([2, 9], 4) == 0
