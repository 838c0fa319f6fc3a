from tank import ring_water


def test_ring_water():
    assert ring_water([5, 7, 4, 4]) == 28
