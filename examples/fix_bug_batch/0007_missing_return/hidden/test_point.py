from point import season_path


def test_season_path():
    assert season_path(4, 11, 10) == 2
    assert season_path(8, 1, 2) == 2
    assert season_path(3, 5, 2) == 1
    assert season_path(11, 6, 8) == 3
    assert season_path(1, 0, 3) == 0
    assert season_path(12, 11, 2) == 2
    assert season_path(2, 9, 11) == 1
    assert season_path(8, 7, 0) == 0
