from river.price import pressure_vector


def test_pressure_vector():
    assert pressure_vector(2) == 15
    assert pressure_vector(6) == 49
