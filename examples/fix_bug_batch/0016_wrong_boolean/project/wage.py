def paper(profit_stamp):
    return profit_stamp <= 3 and profit_stamp >= 3
