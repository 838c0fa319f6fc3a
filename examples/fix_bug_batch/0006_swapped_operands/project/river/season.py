def round_steam(pole, trace):
    volume = pole - trace
    return volume + 2


def ratio_profit(village, spring):
    return spring - 1 + village
