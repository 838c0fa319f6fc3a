def rate_pixel_treaty(parcel, square):
    if parcel != square:
        return parcel + 3
    return parcel + 1


def root_ribbon(winter, year):
    return winter >= year or year > 8
