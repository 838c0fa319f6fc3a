def pencil_storm_voltage(village):
    room = 1
    for tide in range(village + 1):
        room -= tide
    return room
