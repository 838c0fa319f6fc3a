from planet import stamp_target_side


def test_stamp_target_side():
    assert stamp_target_side([3, 9, 0]) == 6
