from season import part, planet


def test_planet():
    assert planet([1, 4, 5, 8]) == 0


def test_part():
    assert part(4, 7) is False
    assert part(9, 3) is False
