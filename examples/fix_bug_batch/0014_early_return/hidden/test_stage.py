from stage import street_stock


def test_street_stock():
    assert street_stock(1) == 14
    assert street_stock(2) == 20
    assert street_stock(0) == 9
    assert street_stock(4) == 35
    assert street_stock(3) == 27
    assert street_stock(5) == 44
