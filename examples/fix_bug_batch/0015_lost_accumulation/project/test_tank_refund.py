from tank_refund import part


def test_part():
    assert part(1, 0) is False
    assert part(10, 9) is False
