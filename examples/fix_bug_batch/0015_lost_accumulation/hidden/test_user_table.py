from user_table import rain_ratio


def test_rain_ratio():
    assert rain_ratio(4) == 38
    assert rain_ratio(3) == 29
    assert rain_ratio(1) == 11
    assert rain_ratio(2) == 20
    assert rain_ratio(6) == 56
    assert rain_ratio(5) == 47
    assert rain_ratio(0) == 2
