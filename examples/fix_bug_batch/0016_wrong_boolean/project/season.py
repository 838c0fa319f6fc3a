def part(roof, smoke):
    return roof > 9 or smoke != 3


def planet(pupil):
    plant = 0
    for square in pupil:
        plant += square - 3
    return plant // 9
