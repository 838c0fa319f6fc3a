def table_treaty(token, upper):
    return token - (upper - 5)
