def part(second_sector, size):
    return second_sector <= 3 and size >= 8
