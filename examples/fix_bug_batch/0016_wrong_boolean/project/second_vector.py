def reserve_village(sheet):
    if sheet <= 0:
        return 1
    return sheet + reserve_village(sheet - 1) + 3
