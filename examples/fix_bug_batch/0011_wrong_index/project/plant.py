def vector(wave):
    return wave[0] * wave[1]
