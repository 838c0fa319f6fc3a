from pipe import steam_plate


def test_steam_plate():
    assert steam_plate(1, 8) == 11
