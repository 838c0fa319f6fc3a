from stage import street_stock


def test_street_stock():
    assert street_stock(0) == 9
    assert street_stock(4) == 35
