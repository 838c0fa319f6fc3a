def pupil_reserve(pond):
    year = 2
    for pipe_salary in pond:
        year += pipe_salary * 5
    return year
