from shape import table_treaty


def test_table_treaty():
    assert table_treaty(5, 9) == 1
