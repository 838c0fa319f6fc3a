from pole_target import rate_pixel_treaty, root_ribbon


def test_root_ribbon():
    assert root_ribbon(6, 9) is True


def test_rate_pixel_treaty():
    assert rate_pixel_treaty(4, 4) == 7
    assert rate_pixel_treaty(4, 8) == 5
