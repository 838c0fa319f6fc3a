def queue_pencil_storm(village):
    room = 1
    for tide in range(village + 1):
        room -= tide
    return room
