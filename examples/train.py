#!/usr/bin/env python3
"""Train a small neural network to tell three species of iris apart: a real training to sweep, in plain Python.

The data are the 150 flowers of R. A. Fisher, "The use of multiple measurements in taxonomic problems", Annals of
Eugenics 7 (1936), 179-188, table I: lengths and widths of sepals and petals in centimetres.

One step is one mini-batch of gradient descent on the cross-entropy. Nothing but the standard library is used.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import random
import sys
from typing import NamedTuple

BATCH_SIZE = 16
TEST_SHARE = 0.2
IRIS_CSV = os.path.join(os.path.dirname(os.path.realpath(__file__)), "iris.csv")

Matrix = list[list[float]]


class Flower(NamedTuple):
    """What is known of one flower; `species` counts from 0."""

    measures: list[float]
    species: int


class Network(NamedTuple):
    """Rows of weights, one row per unit, the bias last. Without hidden rows it is a softmax regression."""

    hidden: Matrix
    output: Matrix


class Score(NamedTuple):
    """Mean cross-entropy in nats, and the share of flowers named rightly."""

    loss: float
    accuracy: float


def read_flowers(path: str) -> list[Flower]:
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    species = sorted({row[-1] for row in rows})
    return [Flower([float(text) for text in row[:-1]], species.index(row[-1])) for row in rows]


def split_flowers(flowers: list[Flower], chance: random.Random) -> tuple[list[Flower], list[Flower]]:
    """Stratified: every species gives the same share to the test set."""
    train: list[Flower] = []
    test: list[Flower] = []
    for species in sorted({flower.species for flower in flowers}):
        kind = [flower for flower in flowers if flower.species == species]
        chance.shuffle(kind)
        held_out = round(TEST_SHARE * len(kind))
        test += kind[:held_out]
        train += kind[held_out:]
    return train, test


def standardize(flowers: list[Flower], train: list[Flower]) -> list[Flower]:
    """Mean 0 and deviation 1, as measured on `train` alone, so that the test set stays unseen."""
    columns = list(zip(*(flower.measures for flower in train)))
    means = [math.fsum(column) / len(column) for column in columns]
    deviations = [
        math.sqrt(math.fsum((x - mean) ** 2 for x in column) / len(column)) for column, mean in zip(columns, means)
    ]
    scales = list(zip(means, deviations))
    return [
        Flower([(x - mean) / deviation for x, (mean, deviation) in zip(flower.measures, scales)], flower.species)
        for flower in flowers
    ]


def make_network(inputs: int, hidden_units: int, outputs: int, chance: random.Random) -> Network:
    """Weights drawn as Glorot and Bengio (2010) advise for tanh; biases 0."""

    def draw_rows(count: int, width: int) -> Matrix:
        bound = math.sqrt(6 / (width + count))
        return [[chance.uniform(-bound, bound) for _ in range(width)] + [0.0] for _ in range(count)]

    return Network(draw_rows(hidden_units, inputs), draw_rows(outputs, hidden_units or inputs))


def weigh(rows: Matrix, values: list[float]) -> list[float]:
    return [math.fsum(weight * value for weight, value in zip(row, values)) + row[-1] for row in rows]


def apply(network: Network, measures: list[float]) -> tuple[list[float], list[float]]:
    """What enters the output units, and the probability of each species."""
    features = [math.tanh(x) for x in weigh(network.hidden, measures)] if network.hidden else measures
    scores = weigh(network.output, features)
    top = max(scores)
    exponentials = [math.exp(score - top) for score in scores]
    total = math.fsum(exponentials)
    return features, [x / total for x in exponentials]


def score(network: Network, flowers: list[Flower]) -> Score:
    loss, right = 0.0, 0
    for flower in flowers:
        probabilities = apply(network, flower.measures)[1]
        loss -= math.log(max(probabilities[flower.species], sys.float_info.min))
        right += probabilities.index(max(probabilities)) == flower.species
    return Score(loss / len(flowers), right / len(flowers))


def descend(rows: Matrix, errors: list[float], values: list[float], rate: float) -> None:
    for row, error in zip(rows, errors):
        for column, value in enumerate(values):
            row[column] -= rate * error * value
        row[-1] -= rate * error


def take_step(network: Network, batch: list[Flower], lr: float) -> None:
    """One step of gradient descent. All errors are computed before a weight moves."""
    rate = lr / len(batch)
    moves = []
    for flower in batch:
        features, probabilities = apply(network, flower.measures)
        errors = [p - (species == flower.species) for species, p in enumerate(probabilities)]
        hidden_errors = [
            (1 - feature**2) * math.fsum(error * row[unit] for error, row in zip(errors, network.output))
            for unit, feature in enumerate(features[: len(network.hidden)])
        ]
        moves.append((flower.measures, features, errors, hidden_errors))
    for measures, features, errors, hidden_errors in moves:
        descend(network.output, errors, features, rate)
        descend(network.hidden, hidden_errors, measures, rate)


def train_network(lr: float, layers: int, steps: int, seed: int) -> dict[str, float]:
    """The result: settings, loss and accuracies. FloatingPointError when a weight leaves the finite numbers."""
    chance = random.Random(seed)
    train, test = split_flowers(read_flowers(IRIS_CSV), chance)
    train, test = standardize(train, train), standardize(test, train)
    network = make_network(len(train[0].measures), layers, 3, chance)
    print_every, width = max(1, steps // 10), len(str(steps))
    for step in range(1, steps + 1):
        try:
            take_step(network, chance.sample(train, BATCH_SIZE), lr)
            if step % print_every == 0 or step == steps:
                now = score(network, train)
                print(f"step {step:{width}}  loss {now.loss:.4f}  accuracy {now.accuracy:.3f}", flush=True)
        except (OverflowError, ValueError):  # what math.fsum says of infinities
            raise FloatingPointError(f"the weights left the numbers at step {step}: choose a smaller --lr") from None
    final = score(network, test)
    print(f"test {'':{width}}  loss {final.loss:.4f}  accuracy {final.accuracy:.3f}", flush=True)
    return {
        "lr": lr,
        "layers": layers,
        "steps": steps,
        "seed": seed,
        "loss": now.loss,
        "accuracy_train": now.accuracy,
        "accuracy_test": final.accuracy,
    }


def write_result(result: dict[str, float], folder: str) -> None:
    """Whole or not at all: a run that is killed here leaves no half result.json."""
    unfinished = os.path.join(folder, f".result.json.{os.getpid()}")
    with open(unfinished, "w", encoding="utf-8") as file:
        file.write(json.dumps(result, indent=2) + "\n")
    os.replace(unfinished, os.path.join(folder, "result.json"))


def parse_rate(text: str) -> float:
    rate = float(text)
    if not (math.isfinite(rate) and rate > 0):
        raise ValueError(text)
    return rate


def parse_count(text: str) -> int:
    count = int(text)
    if count < 0:
        raise ValueError(text)
    return count


def parse_words(words: list[str]) -> argparse.Namespace:
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="train.py", description=about, allow_abbrev=False)
    # argparse names the type in its message: "invalid positive number value: 'x'".
    parse_rate.__name__, parse_count.__name__ = "positive number", "natural number"
    parser.add_argument("--lr", type=parse_rate, default=0.1, help="learning rate (default: 0.1)")
    parser.add_argument(
        "--layers",
        type=parse_count,
        default=8,
        help="number of units in the hidden layer; 0 for none, a softmax regression (default: 8)",
    )
    parser.add_argument("--steps", type=parse_count, default=200, help="mini-batches of 16 flowers (default: 200)")
    parser.add_argument(
        "--seed",
        type=parse_count,
        default=os.environ.get("NEU_REPEAT") or "0",
        help="for the split, the first weights and the batches (default: $NEU_REPEAT, so that repeats differ; else 0)",
    )
    parser.add_argument(
        "--out",
        default=os.environ.get("NEU_RUN_DIR") or ".",
        metavar="FOLDER",
        help="where result.json goes (default: $NEU_RUN_DIR, else the current folder)",
    )
    options = parser.parse_args(words)
    if options.steps == 0:
        parser.error("argument --steps: at least 1")
    return options


def main(words: list[str]) -> int:
    options = parse_words(words)
    try:
        os.makedirs(options.out, exist_ok=True)
        write_result(train_network(options.lr, options.layers, options.steps, options.seed), options.out)
    except (OSError, FloatingPointError) as error:
        print(f"train.py: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
