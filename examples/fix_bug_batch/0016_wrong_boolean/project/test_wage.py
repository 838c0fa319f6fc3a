from wage import paper


def test_paper():
    assert paper(0) is False
