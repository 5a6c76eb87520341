"""What is read from lines of logs, as programs of many kinds print them, and what is not."""

from __future__ import annotations

import math
import unittest

from neuromanager.results.lines import parse_number, read_line

# Line -> steps, values.
MEASURED: tuple[tuple[str, dict[str, float], dict[str, float]], ...] = (
    ("step  40  loss 0.3125  accuracy 0.875", {"step": 40}, {"loss": 0.3125, "accuracy": 0.875}),
    ("test      loss 0.25  accuracy 0.5", {}, {"test/loss": 0.25, "test/accuracy": 0.5}),
    ("epoch 3 loss=0.5 acc: 0.75", {"epoch": 3}, {"loss": 0.5, "acc": 0.75}),
    ("Epoch 3/10: loss=0.5, acc=75.5%", {"epoch": 3}, {"loss": 0.5, "acc": 75.5}),
    ("Train Epoch: 2 [640/60000 (1%)]\tLoss: 0.25", {"epoch": 2}, {"train/Loss": 0.25}),
    ("Test set: Average loss: 0.5, Accuracy: 750/1000 (75%)", {}, {"test/Average_loss": 0.5, "test/Accuracy": 0.75}),
    (
        "Epoch: [1][  10/500]\tTime  0.5 ( 1.2)\tLoss 6.5e+00 (7.0e+00)\tAcc@1   0.25 (  0.12)",
        {"epoch": 1},
        {"Time": 0.5, "Loss": 6.5, "Acc@1": 0.25},
    ),
    (" *   Acc@1 76.5 Acc@5 92.5", {}, {"Acc@1": 76.5, "Acc@5": 92.5}),
    ("iter 100: loss 2.5, time 32.5ms, mfu 5.5%", {"iter": 100}, {"loss": 2.5, "time": 32.5, "mfu": 5.5}),
    ("step 250: train loss 2.0, val loss 2.25", {"step": 250}, {"train/loss": 2.0, "val/loss": 2.25}),
    ("{'loss': 0.5, 'grad_norm': 1.25, 'epoch': 0.5}", {"epoch": 0.5}, {"loss": 0.5, "grad_norm": 1.25}),
    ('{"epoch": 1, "train_loss": "4.5", "ppl": 90.5}', {"epoch": 1}, {"train_loss": 4.5, "ppl": 90.5}),
    ("9/9 [=====] - 5s 2ms/step - loss: 0.25 - val_loss: 0.125", {}, {"loss": 0.25, "val_loss": 0.125}),
    ("train: 100%|####| 3/3 [00:00<00:00, 48.4it/s, loss=0.5, acc=0.75]", {}, {"train/loss": 0.5, "train/acc": 0.75}),
    (
        "2024-02-29 11:02:03,123 INFO train: step 12 loss=0.5 lr=3.0e-04 tok/s=48213",
        {"step": 12},
        {"train/loss": 0.5, "train/lr": 3e-4, "train/tok/s": 48213},
    ),
    (
        "[2024-02-29 11:02:03] [INFO] epoch=3 | train/loss=0.5 | val/acc=0.75",
        {"epoch": 3},
        {"train/loss": 0.5, "val/acc": 0.75},
    ),
    ("| epoch   1 |   200/ 2928 batches | lr 5.0 | loss  8.5 |", {"epoch": 1}, {"lr": 5.0, "loss": 8.5}),
    ('2024-02-29 10:00:00 | INFO | train | {"epoch": 1, "train_loss": "4.5"}', {"epoch": 1}, {"train_loss": 4.5}),
    (
        "Episode 120\tLast reward: 98.0\tAverage reward: 45.5",
        {"episode": 120},
        {"Last_reward": 98.0, "Average_reward": 45.5},
    ),
    ("|    ep_rew_mean      | 21.5         |", {}, {"ep_rew_mean": 21.5}),
    ("Final test accuracy: 91.5", {}, {"test/Final_accuracy": 91.5}),
    ("best_val_acc = 0.75 (epoch 17)", {"epoch": 17}, {"best_val_acc": 0.75}),
    ("Energy = -76.5 Hartree", {}, {"Energy": -76.5}),
    ("t= 1.0000E-03 dt= 1.0E-05 E= 2.5E+01", {}, {"t": 0.001, "dt": 1e-5, "E": 25.0}),
    (" total energy              =     -15.5 Ry", {}, {"total_energy": -15.5}),
    ("ITER=   12  RESIDUAL= 1.25D-05", {"iter": 12}, {"RESIDUAL": 1.25e-5}),
    ("iteration 12 objective 3.5e2 gap 0.5%", {"iteration": 12}, {"objective": 350.0, "gap": 0.5}),
    ("Elapsed time: 12.5 s", {}, {"Elapsed_time": 12.5}),
    ("loss=inf", {}, {"loss": math.inf}),
    ("2,048 samples, accuracy: 1,024", {}, {"accuracy": 1024}),
    ("\x1b[32mepoch 1\x1b[0m loss=0.5", {"epoch": 1}, {"loss": 0.5}),
    ("loss=9\rloss=0.5\r", {}, {"loss": 0.5}),
    ("acc: 3 / 4 top: 5/10s date: 12/31/2024", {}, {"acc": 0.75, "top": 5.0, "date": 12 / 31}),
    ("STEP: [7] a_step 5 steps8 loss=-Infinity", {"step": 7, "steps": 8}, {"a_step": 5.0, "loss": -math.inf}),
)
NOTHING = (
    "",
    "real\t0m12.345s",
    "Results: mAP@0.5 0.5, mAP@0.5:0.95 0.3",
    "     Epoch   gpu_mem       box       obj",
    "loading data from /data/cifar ... done in 2.31s",
    "model: resnet18, 11,173,962 parameters",
    "listening on 127.0.0.1:8080",
    "listening on localhost:8080",
    "GPU 0: Tesla V100-SXM2-32GB (UUID: GPU-1a2b)",
    "2024-02-29 11:02:03 started",
    "version 1.2.3",
)


class LineTest(unittest.TestCase):
    def test_measurements(self) -> None:
        for line, steps, values in MEASURED:
            reading = read_line(line)
            self.assertIsNotNone(reading, line)
            self.assertEqual(reading, (steps, values), line)

    def test_what_is_none(self) -> None:
        for line in NOTHING:
            self.assertIsNone(read_line(line), line)

    def test_nan(self) -> None:
        reading = read_line("loss: nan acc: NaN")
        assert reading
        self.assertEqual([*map(math.isnan, reading.values.values())], [True, True])
        self.assertEqual([*reading.values], ["loss", "acc"])

    def test_numbers(self) -> None:
        for text, number in (("1,024", 1024.0), ("1.5D-3", 0.0015), ("-.5", -0.5), ("+2", 2.0)):
            self.assertEqual(parse_number(text), number)

    def test_long_hostile_lines_take_no_time(self) -> None:
        for line in ("a" * 200_000, "a=" * 50_000, "1," * 50_000, "loss " * 50_000, "[" * 100_000, "- " * 50_000 + "x"):
            read_line(line)


if __name__ == "__main__":
    unittest.main()
