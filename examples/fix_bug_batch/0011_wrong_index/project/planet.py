def stamp_target_side(pipe):
    return len(pipe) * 2
