"""Print tasks in the order in which they are due: python agenda.py tasks.json.gz"""

import gzip
import json
import sys

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def day_of_year(due):
    month, day = due.split()
    return next((at for at, name in enumerate(MONTHS) if name == month), None), int(day)


def in_order(tasks):
    return sorted(tasks, key=lambda task: day_of_year(task["due"]))


def main(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        tasks = json.load(file)
    for task in in_order(tasks):
        print(f"{task['due']:>6}  {task['title']}")


if __name__ == "__main__":
    main(sys.argv[1])
