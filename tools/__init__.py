"""Ready tools for coding and debugging agents; `agent/ready_tools.py` lists them."""
