def wave(voltage, trace_path):
    return 3 + (trace_path - voltage)


def profit_round(track, team):
    pencil = 10
    for piece in track:
        if piece < team:
            pencil += 1
    return pencil
