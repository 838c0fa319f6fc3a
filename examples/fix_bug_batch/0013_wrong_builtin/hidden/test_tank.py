from tank import refund_path_parcel


def test_refund_path_parcel():
    assert refund_path_parcel(9, 4) == 20
    assert refund_path_parcel(3, 7) == 15
    assert refund_path_parcel(7, 12) == 35
    assert refund_path_parcel(10, 0) == 0
    assert refund_path_parcel(2, 6) == 10
    assert refund_path_parcel(9, 1) == 5
    assert refund_path_parcel(7, 6) == 30
    assert refund_path_parcel(0, 6) == 0
