"""`schemas/examples/sentences.yaml`: every sentence of the product pages and every trap of the trade has what shows it, and all of that exists."""

import ast
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests.golden.examples import FOLDER, names

ROOT = Path(__file__).parents[2]
PAGES = yaml.safe_load((FOLDER / "sentences.yaml").read_text())
SENTENCES = [(page, sentence) for page, sentences in PAGES.items() for sentence in sentences]


@cache
def functions_of(file):
    return {
        node.name for node in ast.walk(ast.parse((ROOT / file).read_text())) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@pytest.mark.parametrize(("page", "sentence"), SENTENCES, ids=[f"{page}-{number}" for number, (page, _) in enumerate(SENTENCES)])
def test_a_sentence_has_what_shows_it(page, sentence):
    assert set(sentence) <= {"says", "examples", "tests"}, page
    assert sentence["says"].strip()
    assert sentence.get("examples") or sentence.get("tests")
    assert set(sentence.get("examples", ())) - set(names()) == set()
    for test in sentence.get("tests", ()):
        file, _, function = test.partition("::")
        assert function in functions_of(file), test


def test_no_example_without_a_sentence():
    shown = {name for _, sentence in SENTENCES for name in sentence.get("examples", ())}
    assert set(names()) - shown == set()


def test_no_sentence_stands_twice():
    for page, sentences in PAGES.items():
        said = [sentence["says"] for sentence in sentences]
        assert len(said) == len(set(said)), page
