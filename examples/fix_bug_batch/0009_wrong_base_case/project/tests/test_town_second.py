from treaty.town_second import pixel_wall, prize


def test_pixel_wall():
    assert pixel_wall(1) == 6
    assert pixel_wall(5) == 18
    assert pixel_wall(3) == 12


def test_prize():
    assert prize(0) == 5
