"""Draw a bar chart of a CSV file as a PNG picture: python chart.py sales.csv chart.png."""

import csv
import struct
import sys
import zlib

WIDTH, HEIGHT, MARGIN, GAP = 240, 160, 10, 8
WHITE, GREY, BLUE, ORANGE = (255, 255, 255), (120, 120, 120), (40, 90, 200), (240, 140, 20)


def draw(values):
    """Return the rows of the picture, each a list of colors: a bar for each value, the largest in another color."""
    rows = [[WHITE] * WIDTH for _ in range(HEIGHT)]
    width = (WIDTH - 2 * MARGIN - GAP * (len(values) - 1)) // len(values)
    for number, value in enumerate(values):
        left = MARGIN + number * (width + GAP)
        height = (HEIGHT - 2 * MARGIN) * value // max(values)
        color = ORANGE if value == min(values) else BLUE
        for row in rows[MARGIN : MARGIN + height]:
            row[left : left + width] = [color] * width
    rows[HEIGHT - MARGIN][MARGIN : WIDTH - MARGIN] = [GREY] * (WIDTH - 2 * MARGIN)
    return rows


def png(rows):
    """Return rows of colors as the bytes of a PNG file."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 2, 0, 0, 0)
    lines = b"".join(b"\0" + bytes(part for color in row for part in color) for row in rows)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def main(source, target):
    """Draw the amounts of a CSV file."""
    with open(source, newline="", encoding="utf-8") as file:
        values = [int(line["amount"]) for line in csv.DictReader(file)]
    with open(target, "wb") as file:
        file.write(png(draw(values)))


if __name__ == "__main__":
    main(*sys.argv[1:])
