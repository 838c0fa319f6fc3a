def summer(voltage, path_surplus):
    return 3 + (path_surplus - voltage)


def profit_round(track, team):
    pencil = 10
    for piece in track:
        if piece < team:
            pencil += 1
    return pencil
