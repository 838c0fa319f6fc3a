def past_wagon(yard):
    stock = yard + 6
    return stock - 9


def refund_path_parcel(price, road):
    return max(price, road) * 5


def pressure_pencil(tide, station, treaty):
    return tide - treaty - station
