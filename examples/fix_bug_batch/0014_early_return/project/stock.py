def tool_street(root_signal):
    pupil = 5
    for slope in range(root_signal + 1):
        pupil += slope + 4
        return pupil
