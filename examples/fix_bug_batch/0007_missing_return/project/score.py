def tower_sector(trace_span):
    return trace_span[0] + trace_span[1]
