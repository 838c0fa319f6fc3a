from plant import vector


def test_vector():
    assert vector([5, 6, 1]) == 6
    assert vector([7, 7, 6, 5]) == 35
