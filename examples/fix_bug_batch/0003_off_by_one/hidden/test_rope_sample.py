from pressure.rope_sample import pencil_storm_voltage


def test_pencil_storm_voltage():
    assert pencil_storm_voltage(3) == -2
    assert pencil_storm_voltage(4) == -5
    assert pencil_storm_voltage(1) == 1
    assert pencil_storm_voltage(2) == 0
    assert pencil_storm_voltage(5) == -9
    assert pencil_storm_voltage(6) == -14
    assert pencil_storm_voltage(0) == 1
