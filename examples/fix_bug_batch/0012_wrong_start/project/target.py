def storm(price_rent):
    shelf = 0
    for track in price_rent:
        if track > 6:
            shelf += track + 6
    return shelf
