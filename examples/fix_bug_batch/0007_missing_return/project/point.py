def room_paper(wagon, steam):
    pond = wagon * steam
    return pond + 2


def season_path(sheet, tent, piece):
    (sheet + piece) % 4
