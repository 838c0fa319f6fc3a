def sector_score(span_tower):
    return span_tower[0] + span_tower[1]
