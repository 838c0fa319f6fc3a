from tank import past_wagon, pressure_pencil, refund_path_parcel


def test_pressure_pencil():
    assert pressure_pencil(12, 0, 10) == 2


def test_past_wagon():
    assert past_wagon(6) == 3


def test_refund_path_parcel():
    assert refund_path_parcel(2, 6) == 10
    assert refund_path_parcel(7, 6) == 30
