def slope_past(tank, refund):
    return tank >= 1 and refund <= 10
