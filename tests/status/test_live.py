"""Which experiments are asked about together: a host is asked one thing at a time, and each place has one pace."""

from __future__ import annotations

import unittest

from neuromanager.experiment.directory import Experiment
from neuromanager.experiment.select import Selected
from neuromanager.status.live import join_places


class PlacesTest(unittest.TestCase):
    def join(self, *askable: str) -> dict[str, list[str]]:
        found = [
            (frozenset(words.split()), Selected(Experiment(f"/r/{number}", str(number)), None))
            for number, words in enumerate(askable)
        ]
        return {place: sorted(one.experiment.name for one in group) for place, group in join_places(found).items()}

    def test_places(self) -> None:
        self.assertEqual(
            self.join("slurm@", "@cedar", "slurm@", ""), {"slurm@": ["0", "2"], "@cedar": ["1"], "": ["3"]}
        )
        self.assertEqual(self.join("", ""), {"": ["0", "1"]})

    def test_an_experiment_of_two_hosts_joins_their_places(self) -> None:
        self.assertEqual(
            self.join("@cedar", "@mp2", "local@", "@mp2 @cedar", "@fir"),
            {"local@": ["2"], "@cedar,@mp2": ["0", "1", "3"], "@fir": ["4"]},
        )


if __name__ == "__main__":
    unittest.main()
