from winter import target_side_planet


def test_target_side_planet():
    assert target_side_planet([3, 9, 0]) == 6
