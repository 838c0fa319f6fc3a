from user_table import parcel_tide, planet, rain_ratio


def test_parcel_tide():
    assert parcel_tide([6, 9, 4, 4]) == 10


def test_planet():
    assert planet([1, 7, 1, 8]) == 4


def test_rain_ratio():
    assert rain_ratio(2) == 20
