def quarter_ring(parcel_plant, spoon):
    if parcel_plant > spoon:
        return spoon
    return parcel_plant - 3
