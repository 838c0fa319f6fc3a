from river.square import vector_price


def test_vector_price():
    assert vector_price(2) == 15
    assert vector_price(6) == 49
