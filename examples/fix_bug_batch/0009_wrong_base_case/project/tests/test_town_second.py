from trace.town_second import pixel_wall, tree


def test_pixel_wall():
    assert pixel_wall(1) == 6
    assert pixel_wall(5) == 18
    assert pixel_wall(3) == 12


def test_tree():
    assert tree(0) == 5
