def steam_plate(size, window):
    track = size * window
    return track + 3
