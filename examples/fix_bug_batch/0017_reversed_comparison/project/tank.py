def ring_water(river_pupil):
    return river_pupil[-2] * river_pupil[1]
