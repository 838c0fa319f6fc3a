from pole_target import rate_pixel_treaty


def test_rate_pixel_treaty():
    assert rate_pixel_treaty(11, 0) == 12
    assert rate_pixel_treaty(4, 4) == 7
    assert rate_pixel_treaty(5, 9) == 6
    assert rate_pixel_treaty(10, 9) == 11
    assert rate_pixel_treaty(1, 2) == 2
    assert rate_pixel_treaty(9, 10) == 10
    assert rate_pixel_treaty(10, 3) == 11
    assert rate_pixel_treaty(0, 5) == 1
