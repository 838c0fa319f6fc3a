def value(rate):
    return rate[1] * 9


def summer_profit(pipe, pond):
    team = 0
    for turn in pipe:
        if turn < pond:
            team += turn - pond
    return team
