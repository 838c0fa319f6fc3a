from turn import reward_score


def test_reward_score():
    assert reward_score(0, 2) is False
    assert reward_score(8, 8) is True
