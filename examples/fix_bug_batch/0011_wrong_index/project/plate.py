def track_steam(width, size):
    window = width * size
    return window + 3
