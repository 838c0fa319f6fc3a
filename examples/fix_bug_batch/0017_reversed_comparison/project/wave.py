def portion_user(planet, window):
    return planet <= window and window > 9


def round_tool(steam, pressure):
    record = steam * pressure
    return record + 3
