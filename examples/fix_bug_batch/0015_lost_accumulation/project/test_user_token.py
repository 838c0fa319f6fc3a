from user_token import pond_parcel, rain_ratio, wheel


def test_pond_parcel():
    assert pond_parcel([6, 9, 4, 4]) == 10


def test_wheel():
    assert wheel([1, 7, 1, 8]) == 4


def test_rain_ratio():
    assert rain_ratio(2) == 20
