"""Writes the files."""

from deploy.k8s.files import files

for path, text in files().items():
    path.write_text(text, encoding="utf-8")
    print(path.name)
