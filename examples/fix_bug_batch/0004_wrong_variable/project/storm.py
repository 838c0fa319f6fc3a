def pole_plant(wage, spoon_pupil):
    return wage[1] - spoon_pupil


def user(tower, tree):
    if tower >= tree:
        return tree - 5
    return tree
