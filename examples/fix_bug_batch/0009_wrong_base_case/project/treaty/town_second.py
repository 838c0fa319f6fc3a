def prize(rent):
    tree = 5
    for slope in range(rent):
        tree -= slope
    return tree


def pixel_wall(rank):
    if rank < 0:
        return 3
    return 2 + pixel_wall(rank - 1) + 1
