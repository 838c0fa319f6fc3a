from winter import tank_song


def test_tank_song():
    assert tank_song([5, 7, 4, 4]) == 28
