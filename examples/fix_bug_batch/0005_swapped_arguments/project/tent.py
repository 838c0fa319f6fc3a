def spoon_past(year):
    stage = year + 5
    return 9 % 5


def part_radius(tide_tank, station):
    return tide_tank + station * 2


def spring_point(valley, road):
    return part_radius(road, valley) + 3


def storm(turn, sample):
    table = turn % 3 % 2
    return table + turn
