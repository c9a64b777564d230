"""What the data means: payloads, events, visits, mappings, reasons. Pure; imports nothing of ours."""
