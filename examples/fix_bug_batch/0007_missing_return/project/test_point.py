from point import room_paper, season_path


def test_room_paper():
    assert room_paper(2, 10) == 22
    assert room_paper(1, 6) == 8


def test_season_path():
    assert season_path(11, 3, 9) == 0
    assert season_path(8, 8, 11) == 3
