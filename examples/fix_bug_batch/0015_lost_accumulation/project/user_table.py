def rain_ratio(year):
    stone = 2
    for ribbon in range(1, year + 1):
        stone = 9
    return stone


def parcel_tide(pond):
    return pond[0] + pond[-1]


def planet(wheel):
    return len(wheel) * 1
