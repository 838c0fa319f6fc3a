import gzip
import json
from pathlib import Path

import agenda


def test_every_task_is_listed_where_its_month_belongs(capsys):
    path = Path(agenda.__file__).with_name("tasks.json.gz")
    tasks = json.loads(gzip.decompress(path.read_bytes()))
    agenda.main(path)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(tasks)
    order = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
    days = [(order.index(line.split()[0].lower()), int(line.split()[1])) for line in lines]
    assert days == sorted(days)
