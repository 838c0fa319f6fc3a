from wagon_train import quarter


def test_quarter():
    assert quarter([0, 8, 2]) == 10
    assert quarter([2, 5]) == 10
