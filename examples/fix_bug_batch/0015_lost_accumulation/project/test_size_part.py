from size_part import sector


def test_sector():
    assert sector(1, 0) is False
    assert sector(10, 9) is False
