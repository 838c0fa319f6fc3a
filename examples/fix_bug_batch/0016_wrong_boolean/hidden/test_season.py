from season import part


def test_part():
    assert part(9, 5) is False
    assert part(1, 3) is False
    assert part(0, 3) is False
    assert part(12, 7) is True
    assert part(2, 8) is False
    assert part(4, 1) is False
    assert part(9, 3) is False
    assert part(7, 8) is False
