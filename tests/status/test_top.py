"""neutop as values: what keys do, and what stands on a screen of any size."""

from __future__ import annotations

import random
import unittest

from neuromanager.status import top, toplines
from neuromanager.status.top import EXPERIMENTS, LOG, PLOT, RUNS, TABLE, Content, Frame, Item, View, press, settle

SIZE = (10, 80)
EXPERIMENTS_SHOWN = Content(
    "title",
    "NAME",
    [Item(f"/r/{name}", f"{name} line", "ok", name == "odd", name) for name in ("train", "odd", "late")],
)
RUNS_SHOWN = Content("odd", "RUN", [Item(str(i), f"odd:{i} x", "ok", i % 2 == 1, f"odd:{i}") for i in range(50)])
LOG_SHOWN = Content("odd:1", lines=[f"line {number}" for number in range(100)], operand="odd:1")
KEYS = (
    *"abcdefghijklmnopqrstuvwxyzGQYRC/?0 é",
    *"up down left right pgup pgdn home end space enter esc backspace other".split(),
)


def content_of(view: View) -> Content:
    return {EXPERIMENTS: EXPERIMENTS_SHOWN, RUNS: RUNS_SHOWN}.get(view.frame.kind, LOG_SHOWN)


def type_keys(view: View, *keys: str) -> tuple[View, list[tuple[str, ...]]]:
    """As the loop does it; and the command lines that were run."""
    run = []
    for key in keys:
        view = settle(view, content_of(view), *SIZE)
        step = press(view, key, content_of(view), *SIZE)
        view = step.view
        if step.run:
            run.append(step.run)
        if step.quit:
            break
    return settle(view, content_of(view), *SIZE), run


class KeysTest(unittest.TestCase):
    def test_in_and_out(self) -> None:
        view, _ = type_keys(View(), "down", "enter", "j", "enter")
        self.assertEqual([frame.kind for frame in view.frames], [EXPERIMENTS, RUNS, LOG])
        self.assertEqual((view.frame.experiment, view.frame.run), ("/r/odd", 1))
        view, _ = type_keys(view, "esc", "esc", "esc", "esc")
        self.assertEqual((len(view.frames), view.frame.cursor), (1, 1), "where it was left")

    def test_movement(self) -> None:
        view = View((Frame(RUNS, "/r/odd"),))
        for keys, cursor in (
            (["down", "j"], 2),
            (["k", "up", "up"], 0),
            (["pgdn"], 9),
            (["space", "pgup"], 9),
            (["G"], 49),
            (["end", "down"], 49),
            (["g"], 0),
        ):
            view, _ = type_keys(view, *keys)
            self.assertEqual(view.frame.cursor, cursor, keys)
            self.assertTrue(view.frame.top <= cursor < view.frame.top + SIZE[0])

    def test_the_cursor_stays_on_its_row(self) -> None:
        view, _ = type_keys(View(), "down")
        more = EXPERIMENTS_SHOWN._replace(items=[Item("/r/new", "new", "ok", False, "new"), *EXPERIMENTS_SHOWN.items])
        self.assertEqual(settle(view, more, *SIZE).frame.cursor, 2)
        fewer = EXPERIMENTS_SHOWN._replace(items=EXPERIMENTS_SHOWN.items[:1])
        self.assertEqual(settle(view, fewer, *SIZE).frame.key, "/r/train")
        self.assertEqual(settle(view, fewer._replace(items=[]), *SIZE).frame.key, "")

    def test_filter(self) -> None:
        view, run = type_keys(View(), "/", *"od", "backspace", "d", "r", "y")
        self.assertEqual((view.frame.search, run), ("odry", []), "letters are text")
        view, _ = type_keys(view, "backspace", "backspace", "enter")
        self.assertEqual([item.operand for item in top.find_shown(view.frame, EXPERIMENTS_SHOWN)], ["odd"])
        view, _ = type_keys(view, "enter")
        self.assertEqual(view.frame.experiment, "/r/odd")
        view, _ = type_keys(view, "esc", "esc")
        self.assertEqual((view.frame.search, len(view.frames)), ("", 1), "first the filter goes")

    def test_what_did_not_complete(self) -> None:
        view, _ = type_keys(View((Frame(RUNS, "/r/odd"),)), "f", "G")
        self.assertEqual((view.frame.key, view.frame.cursor), ("49", 24))
        view, _ = type_keys(view, "f")
        self.assertEqual((view.frame.key, view.frame.cursor), ("49", 49))

    def test_only_y_runs_what_is_shown(self) -> None:
        for key, words in (("c", ("neucancel", "train")), ("r", ("neurerun", "train"))):
            view, run = type_keys(View(), key)
            self.assertEqual((view.asked, run), (words, []))
            self.assertIn(" ".join(words), toplines.draw(view, EXPERIMENTS_SHOWN, [], "", *SIZE)[-1].text)
            self.assertEqual(type_keys(view, "y")[1], [words])
            for other in KEYS:
                if other != "y":
                    after, run = type_keys(view, other, "y")
                    self.assertEqual((run, after.asked, after.frames), ([], (), view.frames), other)
        self.assertEqual(type_keys(View(read_only=True), "c", "y", "r", "y")[1], [])
        self.assertEqual(type_keys(View((Frame(LOG, "/r/odd", 1),)), "c", "y")[1], [("neucancel", "odd:1")])
        self.assertEqual(type_keys(View((Frame(RUNS, "/r/odd"),)), "down", "r", "y")[1], [("neurerun", "odd:1")])
        for kind in (TABLE, PLOT, top.HELP):
            self.assertEqual(type_keys(View((Frame(kind, "/r/odd"),)), "c", "y")[1], [])

    def test_random_keys_run_nothing_without_y_after_the_question(self) -> None:
        random.seed(7)
        for _ in range(60):
            view, before = View(), View()
            for key in random.choices(KEYS, k=60):
                before = view
                view, run = type_keys(view, key)
                self.assertEqual(bool(run), key == "y" and bool(before.asked))
                for height, width in ((50, 200), (5, 30), (1, 1)):
                    content = content_of(view)
                    settled = settle(view, content, toplines.count_rows(height, [], content), width)
                    self.assertLessEqual(len(toplines.draw(settled, content, [], "12:00:00", height, width)), height)

    def test_letters_that_mean_nothing(self) -> None:
        for letter in "abdehilmnsuvxyzACDEFHIJKLMNOPQRSTUVWXYZ0129":
            before = settle(View(), EXPERIMENTS_SHOWN, *SIZE)
            self.assertEqual(press(before, letter, EXPERIMENTS_SHOWN, *SIZE), top.Step(before), letter)

    def test_log(self) -> None:
        view, _ = type_keys(View((Frame(LOG, "/r/odd", 1),)))
        self.assertEqual((view.frame.top, view.frame.at_end), (90, True))
        longer = LOG_SHOWN._replace(lines=[*LOG_SHOWN.lines, "more"])
        self.assertEqual(settle(view, longer, *SIZE).frame.top, 91, "it follows")
        view, _ = type_keys(view, "up")
        self.assertEqual(settle(view, longer, *SIZE).frame.top, 89)
        view, _ = type_keys(view, "G")
        self.assertTrue(view.frame.at_end)
        self.assertEqual(type_keys(view, "o")[0].frame.stream, "stderr")
        self.assertEqual(type_keys(view, "o", "o")[0].frame.stream, "stdout")
        wide = Content("x", lines=["a" * 25, "", "é" * 15])
        frame = Frame(LOG, wrap=True)
        self.assertEqual(top.find_lines(frame, wide, 10), ["a" * 10, "a" * 10, "a" * 5, "", "é" * 10, "é" * 5])


class ScreenTest(unittest.TestCase):
    def draw(self, view: View, height: int, width: int, devices: list[str]) -> list[str]:
        content = content_of(view)
        view = settle(view, content, toplines.count_rows(height, devices, content), width)
        return [line.text.rstrip() for line in toplines.draw(view, content, devices, "12:00:00", height, width)]

    def test_keys_that_have_no_room_stay_away(self) -> None:
        for width, last in ((200, "p plot"), (80, "t table"), (70, "r again"), (8, "? help"), (3, "")):
            bottom = self.draw(View(), 24, width, [])[-1]
            self.assertTrue(bottom.endswith(last) and len(bottom) <= width, (width, bottom))

    def test_more_gpus_than_room(self) -> None:
        devices = ["GPU", *(f"{number} p100" for number in range(16))]
        shown = self.draw(View(), 24, 80, devices)
        self.assertEqual(shown[7:10], ["5 p100", "... and 10 lines more: neufree local", "NAME"])
        self.assertEqual(self.draw(View(), 60, 80, devices)[17], "15 p100")

    def test_the_cursor_is_a_bar_from_edge_to_edge(self) -> None:
        content = Content("title", "NAME", [Item("/r/日本", "日本", "ok", False, "日本")])
        lines = toplines.draw(settle(View(), content, 4, 20), content, [], "", 6, 20)
        self.assertEqual(lines[2], toplines.Line("日本" + " " * 16, "ok cursor"))

    def test_sizes(self) -> None:
        devices = ["GPU TYPE", "0 p100"]
        whole = self.draw(View(), 24, 80, devices)
        self.assertEqual(whole[:5], ["12:00:00  title", "GPU TYPE", "0 p100", "NAME", "train line"])
        self.assertEqual(len(whole), 24)
        self.assertIn("? help", whole[-1])
        small = self.draw(View((Frame(RUNS, "/r/odd", cursor=49, key="49"),)), 5, 30, devices)
        self.assertEqual(small[:4], ["12:00:00  odd", "RUN", "odd:48 x", "odd:49 x"])
        self.assertTrue(all(len(line) <= 30 for line in small))

    def test_sideways(self) -> None:
        view, _ = type_keys(View(), "right")
        self.assertEqual(self.draw(view, 24, 80, [])[2], "ne")
        self.assertEqual(self.draw(type_keys(view, "left", "left")[0], 24, 80, [])[2], "train line")


if __name__ == "__main__":
    unittest.main()
