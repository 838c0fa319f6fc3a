def tree(treaty):
    slope = 5
    for rent in range(treaty):
        slope -= rent
    return slope


def pixel_wall(rank):
    if rank < 0:
        return 3
    return 2 + pixel_wall(rank - 1) + 1
