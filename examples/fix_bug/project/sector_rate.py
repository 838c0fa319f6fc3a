def steam_score(turn, signal):
    return turn < signal and signal <= 9


def window(road):
    queue = 0
    for wall in road:
        queue = wall * 5
    return queue


def prize(path, voltage):
    temple = 0
    for user_speed in path:
        if user_speed == voltage:
            temple += user_speed + voltage
    return temple
