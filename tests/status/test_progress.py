"""Bars in logs: tqdm's own forms, and what only looks like one."""

from __future__ import annotations

import unittest

from neuromanager.status.progress import Progress, parse_progress

# Drawn by tqdm 4.66 with different settings; the last is of an iterable without a length.
FORMS = {
    " 45%|####5     | 45/100 [00:10<00:12,  4.50it/s]": Progress(0.45, 12),
    " 45%|████▌     | 45/100 [00:10<00:12,  4.50it/s]": Progress(0.45, 12),
    "Epoch 3/10:  45%|####5     | 45/100 [00:10<1:02:03,  4.50s/it, loss=0.12]": Progress(0.45, 3723),
    "  0%|          | 0/100 [00:00<?, ?it/s]": Progress(0.0, None),
    "100%|##########| 100/100 [00:10<00:00,  9.9it/s]": Progress(1.0, 0),
    "45/100 [00:10<00:12,  4.50it/s]": Progress(0.45, 12),
    "45/100 [": Progress(0.45, None),
    " 33%|###3      | 1/3 [25:00:01<50:00:00, 9.00ks/it]": Progress(1 / 3, 180000),
    " 45%|####5     | 4.50k/10.0k [00:10<00:12, 450B/s]": Progress(0.45, 12),
    "4.50kB/10.0kB [00:10<00:12, 450B/s]": Progress(0.45, 12),
    "45it [00:10,  4.50it/s]": None,
}


class ProgressTest(unittest.TestCase):
    def test_forms(self) -> None:
        for text, expected in FORMS.items():
            earlier = "\r 1%|  | 1/100 [00:00<00:01]\r"
            for before, after in (("", ""), ("loss 0.3\n\r", ""), ("", "\r\n"), (earlier, "")):
                with self.subTest(text=text, before=before):
                    found = parse_progress(before + text + after)
                    if expected is None and "%" in before:
                        expected = Progress(0.01, 1)
                    self.assertEqual(found, expected)

    def test_last_one_counts(self) -> None:
        drawn = "".join(f"\r{n:3d}%|#    | {n}/100 [00:{n:02d}<00:{99 - n:02d}, 1.00it/s]" for n in range(40))
        self.assertEqual(parse_progress(drawn), Progress(0.39, 60))
        self.assertEqual(parse_progress(drawn + "\nlr was halved\n"), Progress(0.39, 60))
        self.assertEqual(parse_progress(drawn[30:] + "\r 40%|##"), Progress(0.39, 60))  # half written

    def test_nested_bars(self) -> None:
        """tqdm moves the cursor up between them (an escape), and draws both."""
        text = "epoch:  20%|##  | 1/5 [01:00<04:00, 60.0s/it]\nbatch:  50%|##  | 5/10 [00:05<00:05, 1.0it/s]\x1b[A"
        self.assertEqual(parse_progress(text), Progress(0.5, 5))

    def test_no_bars(self) -> None:
        for text in (
            "",
            "\n",
            "step 45/100",
            "[00:10<00:12]",
            "see a/b [1]",
            "0/0 [",
            "12/10 [00:10<00:00]",
            "45%",
            "1/\x00 [",
            "\ufffd" * 50,
        ):
            with self.subTest(text=text):
                self.assertIsNone(parse_progress(text))

    def test_long_lines_cost_little(self) -> None:
        for text in ("9" * 4096, "9/" * 2048 + "[", "45%|" * 1024 + "[/", "1" * 2000 + "/" + "1" * 2000 + " ["):
            parse_progress(text)


if __name__ == "__main__":
    unittest.main()
