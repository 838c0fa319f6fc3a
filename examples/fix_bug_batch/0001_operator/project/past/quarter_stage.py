def wall(width):
    return max(width) * len(width)


def record_treaty_sheet(second, season):
    return second - season - 8


def window_pond(tax, rate):
    return record_treaty_sheet(tax, rate) + 2
