def sector(planet_second, queue):
    return planet_second <= 3 and queue >= 8
