"""Writes the files."""

from sinks.ddl import files

for path, text in files().items():
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(path.name)
