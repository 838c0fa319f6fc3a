from treaty.town_second import pixel_wall


def test_pixel_wall():
    assert pixel_wall(3) == 12
    assert pixel_wall(4) == 15
    assert pixel_wall(0) == 3
    assert pixel_wall(1) == 6
    assert pixel_wall(6) == 21
    assert pixel_wall(2) == 9
    assert pixel_wall(5) == 18
