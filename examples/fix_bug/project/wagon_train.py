def quarter(treaty):
    return treaty[1] + treaty[-1]
