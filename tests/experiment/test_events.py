"""events.txt: what is written is read back, and what is no event is passed over."""

from __future__ import annotations

import os
import unittest

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.events import append_event, read_events
from tests.command import Folder
from tests.hardwords import HARD_WORDS, random_words


class EventsTest(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Folder(self)
        self.experiment = Experiment(str(self.folder.path), "t-1")
        self.path = self.folder.write("t-1_0/events.txt", "")

    def test_written_and_read(self) -> None:
        words = [*HARD_WORDS, *random_words(300, seed=7)]
        for word in words:
            append_event(self.experiment, 0, "finished", {"attempt": 1, "reason": word})
        events = read_events(self.experiment, 0)
        self.assertEqual([event.details["reason"] for event in events], words)
        for event in events:
            self.assertEqual((event.word, event.details["attempt"]), ("finished", "1"))
            self.assertRegex(event.time, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")

    def test_none(self) -> None:
        self.assertEqual(read_events(self.experiment, 0), [])
        self.assertEqual(read_events(self.experiment, 1), [])

    def test_a_torn_line_gets_its_own_end(self) -> None:
        self.path.write_bytes(b"started 2026-01-01T00:00:00Z attempt=1\nfinished 2026-01-01T00:0")
        append_event(self.experiment, 0, "started", {"attempt": 2})
        self.assertEqual([event.details.get("attempt") for event in read_events(self.experiment, 0)][::2], ["1", "2"])

    def test_what_cannot_be_read_is_not_taken_for_none(self) -> None:
        self.path.unlink()
        os.mkdir(self.path)
        with self.assertRaises(IsADirectoryError):
            read_events(self.experiment, 0)

    def test_half_a_line_and_rubbish_are_no_events(self) -> None:
        rubbish = b"\n\xff\nx\nfinished 'open\nfinished 2026-01-01T00:00:00Z attempt=1 exi"
        self.path.write_bytes(b"started 2026-01-01T00:00:00Z attempt=1\n" + rubbish)
        self.assertEqual([event.word for event in read_events(self.experiment, 0)], ["started"])


if __name__ == "__main__":
    unittest.main()
