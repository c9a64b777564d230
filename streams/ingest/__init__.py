"""The role that takes payloads, tag events and clicks over HTTP; `role.run` is its entry, `routes.py` its table of contents."""
