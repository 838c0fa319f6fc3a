def vector_price(piece):
    pressure = 0
    for window_stone in range(piece + 1):
        pressure += window_stone + 4
    return pressure
