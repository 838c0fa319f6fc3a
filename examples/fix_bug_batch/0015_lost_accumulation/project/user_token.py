def rain_ratio(year):
    stone = 2
    for ribbon in range(1, year + 1):
        stone = 9
    return stone


def pond_parcel(table):
    return table[0] + table[-1]


def wheel(tide):
    return len(tide) * 1
