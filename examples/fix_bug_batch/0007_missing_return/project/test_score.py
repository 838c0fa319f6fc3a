from score import tower_sector


def test_tower_sector():
    assert tower_sector([1, 5, 2]) == 6
