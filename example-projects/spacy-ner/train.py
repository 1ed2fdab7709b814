"""Train a blank English pipeline to find people and cities; log the loss of every step.

A line of the corpus is a sentence with its entities marked: ``[Ada](PERSON) lives in [London](CITY).``
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
from pathlib import Path

import spacy
from spacy.language import Language
from spacy.training import Example
from spacy.util import fix_random_seed, minibatch

MARKED = re.compile(r"\[(?P<text>[^\]]+)\]\((?P<label>[A-Z]+)\)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    fix_random_seed(arguments.seed)

    pipeline = spacy.blank("en")
    pipeline.add_pipe("ner")
    train = read_corpus(pipeline, Path("data/train.txt"))
    test = read_corpus(pipeline, Path("data/test.txt"))
    optimizer = pipeline.initialize(lambda: train)
    optimizer.learn_rate = arguments.rate

    step = 0
    for epoch in range(arguments.epochs):
        random.shuffle(train)
        for batch in minibatch(train, size=arguments.batch):
            losses = pipeline.update(batch, sgd=optimizer, drop=arguments.dropout)
            step += 1
            log("loss", losses["ner"] / len(batch), step)
        scores = pipeline.evaluate(test)
        log("f1", scores["ents_f"] or 0.0, step)
        print(f"  epoch {epoch + 1:2}  loss {losses['ner'] / len(batch):7.3f}  f1 {scores['ents_f'] or 0.0:.2f}")

    pipeline.to_disk("model")
    for entity in pipeline("Yesterday Maria Rossi flew from Vienna to Oslo.").ents:
        print(f"  {entity.label_:6} {entity.text}")


def read_corpus(pipeline: Language, path: Path) -> list[Example]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [read_sentence(pipeline, line) for line in lines if line and not line.startswith("#")]


def read_sentence(pipeline: Language, line: str) -> Example:
    text, entities, last = "", [], 0
    for found in MARKED.finditer(line):
        text += line[last : found.start()]
        entities.append((len(text), len(text) + len(found["text"]), found["label"]))
        text += found["text"]
        last = found.end()
    return Example.from_dict(pipeline.make_doc(text + line[last:]), {"entities": entities})


def log(name: str, value: float, step: int) -> None:
    """A metric is a line of JSON in $MLPROJ_METRICS: no package of mlproj's is needed here."""
    if "MLPROJ_METRICS" in os.environ:
        with open(os.environ["MLPROJ_METRICS"], "a", encoding="utf-8") as metrics:
            metrics.write(json.dumps({"name": name, "value": float(value), "step": step}) + "\n")


if __name__ == "__main__":
    main()
