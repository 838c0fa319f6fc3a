def steam_treaty(pole, volume):
    round = pole - volume
    return round + 2


def ratio_profit(village, spring):
    return spring - 1 + village
