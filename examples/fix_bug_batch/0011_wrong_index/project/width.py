def plant(vector):
    return vector[0] * vector[1]
