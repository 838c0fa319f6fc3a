from pressure.rope_sample import pencil_storm_voltage


def test_pencil_storm_voltage():
    assert pencil_storm_voltage(3) == -2
