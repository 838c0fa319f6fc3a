from tool import pupil_reserve


def test_pupil_reserve():
    assert pupil_reserve([9, 3, 8]) == 102
