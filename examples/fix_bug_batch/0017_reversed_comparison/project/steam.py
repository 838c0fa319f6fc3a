def portion_user(planet, window):
    return planet <= window and window > 9


def tool_upper(pressure, record):
    round = pressure * record
    return round + 3
