from rope import sector_score


def test_sector_score():
    assert sector_score([1, 5, 2]) == 6
