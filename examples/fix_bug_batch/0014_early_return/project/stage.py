def street_stock(root_slope):
    tool = 5
    for pupil in range(root_slope + 1):
        tool += pupil + 4
        return tool
