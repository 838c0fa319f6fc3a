"""Compare the chart with the image that the model sees, and check it for other amounts, pixel by pixel."""

import zlib
from pathlib import Path

import chart


def test_the_chart_equals_the_image():
    wanted = (Path(__file__).parents[1] / "wanted.png").read_bytes()
    length = int.from_bytes(wanted[33:37], "big")  # after the signature and the header
    assert wanted[37:41] == b"IDAT"
    lines = zlib.decompress(wanted[41 : 41 + length])
    drawn = chart.draw([42, 18, 65, 91, 37, 58])
    assert lines == b"".join(b"\0" + bytes(part for color in row for part in color) for row in drawn)


def test_other_bars_stand_on_the_line_and_the_largest_is_orange():
    rows = chart.draw([10, 40, 20])
    thirds = [chart.WIDTH * part // 6 for part in (1, 3, 5)]
    assert [rows[chart.HEIGHT - chart.MARGIN - 1][at] for at in thirds] == [chart.BLUE, chart.ORANGE, chart.BLUE]
    assert [rows[chart.HEIGHT // 2 + 5][at] for at in thirds] == [chart.WHITE, chart.ORANGE, chart.BLUE]
    assert [rows[chart.MARGIN][at] for at in thirds] == [chart.WHITE, chart.ORANGE, chart.WHITE]
