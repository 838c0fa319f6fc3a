def tank_song(ring_water):
    return ring_water[-2] * ring_water[1]
