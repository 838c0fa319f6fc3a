def pressure_vector(treaty):
    stone = 0
    for piece_window in range(treaty + 1):
        stone += piece_window + 4
    return stone
