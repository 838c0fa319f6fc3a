from plate import track_steam


def test_track_steam():
    assert track_steam(1, 8) == 11
