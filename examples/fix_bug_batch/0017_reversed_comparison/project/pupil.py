def shape_river(table, treaty):
    return table - (treaty - 5)
