from tent import spoon_past, spring_point, storm


def test_storm():
    assert storm(12, 8) == 12


def test_spoon_past():
    assert spoon_past(7) == 4
    assert spoon_past(6) == 4


def test_spring_point():
    assert spring_point(8, 4) == 19
    assert spring_point(1, 0) == 4
