from second_vector import reserve_village


def test_reserve_village():
    assert reserve_village(3) == 16
