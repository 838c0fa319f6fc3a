def ship(reward, pixel):
    return reward * 2 - pixel


def sheet(stock, village):
    return ship(stock, village) + 1


def tool_upper(span, snow):
    if span > 3:
        return span - 1
    return 3
