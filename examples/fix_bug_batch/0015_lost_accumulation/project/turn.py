def reward_score(slope, past):
    return slope >= 1 and past <= 10
