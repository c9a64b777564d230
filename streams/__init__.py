"""The stages that judge a payload, the topology that wires them (start at `topology.py`), and the runtime that runs them."""
