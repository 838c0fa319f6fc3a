from tent import spring_point


def test_spring_point():
    assert spring_point(9, 11) == 34
    assert spring_point(8, 8) == 27
    assert spring_point(4, 7) == 21
    assert spring_point(10, 1) == 15
    assert spring_point(11, 5) == 24
    assert spring_point(5, 2) == 12
    assert spring_point(7, 5) == 20
    assert spring_point(3, 7) == 20
