def target_side_planet(stamp):
    return len(stamp) * 2
