"""Sums over nodes and jobs, places in line, and what people read of them."""

from __future__ import annotations

import unittest

from neuromanager.experiment.free import Device, Free, Held, Node, Occupant
from neuromanager.status.free import choose, count_hidden, find_places, render_free, sum_supply, sum_users


def make_node(name: str, used: int = 0, **more: object) -> Node:
    node = Node(name, ("a",), "mixed", False, 8, 4, 64000, 32000, {"p100": 4}, {"p100": used})
    return node._replace(**more)  # type: ignore[arg-type]


def make_waiting(job: str, user: str, priority: float | None, elements: int = 1) -> Held:
    return Held(job, user, ("a",), False, elements, elements, {"p100": elements}, priority)


class SumsTest(unittest.TestCase):
    def test_free_blocked_used_and_out_are_all(self) -> None:
        nodes = [
            make_node("n1", 1),
            make_node("n2", 1, free_cpus=0),
            make_node("n3", 2, free_memory_mb=1000),
            make_node("n4", 3, is_out=True),
            make_node("n5", 0, memory_mb=1, free_memory_mb=1),  # Slurm was not told its memory
        ]
        (supply,) = sum_supply(nodes)
        self.assertEqual(
            (supply.free, supply.blocked, supply.used, supply.out, supply.all), (3 + 4, 3 + 2, 1 + 1 + 2 + 3, 1, 20)
        )

    def test_a_line_for_each_partition_and_type(self) -> None:
        nodes = [make_node("n1", partitions=("a", "b")), make_node("n2", gpus={}), make_node("n3", gpus={"x": 1})]
        self.assertEqual(
            [(one.partition, one.gpu, one.all, one.cpus) for one in sum_supply(nodes)],
            [("a", "", 0, 8), ("a", "p100", 4, 8), ("a", "x", 1, 8), ("b", "p100", 4, 8)],
        )

    def test_users(self) -> None:
        held = [
            Held("1", "ana", ("a",), True, 1, 2, {"p100": 1}),
            Held("2", "bob", ("a",), True, 1, 4, {"p100": 3}),
            Held("3", "ana", ("a",), True, 1, 2, {"v100": 1}),
            make_waiting("4", "ana", 5, 10),
        ]
        bob, ana = sum_users(held)
        self.assertEqual(bob[:5], ("bob", {"p100": 3}, 4, 1, 0))
        self.assertEqual(ana, ("ana", {"p100": 1, "v100": 1}, 4, 2, 10, 10))

    def test_hidden(self) -> None:
        nodes = [make_node("n1", 3)]
        self.assertEqual(count_hidden(choose(Free(nodes), [])), 3)
        held = Held("1", "ana", ("a",), True, gpus={"gpu": 3})
        self.assertEqual(count_hidden(choose(Free(nodes, [held]), [])), 0)

    def test_places(self) -> None:
        held = [
            make_waiting("1", "me", 5),
            make_waiting("2", "ana", 9, 3),
            make_waiting("3", "bob", 5),
            make_waiting("4", "me", None),
            make_waiting("5", "me", 1),
            make_waiting("6", "ana", 10)._replace(partitions=("b",)),
        ]
        self.assertEqual(
            [(place.job, place.place, place.of) for place in find_places(choose(Free([], held), []), "me")],
            [("1", 4, 6), ("4", None, 6), ("5", 6, 6)],
        )

    def test_partitions(self) -> None:
        found = Free([make_node("n1", partitions=("a", "b")), make_node("n2")], [make_waiting("1", "me", 1)])
        chosen = choose(found, ["b"]).shown
        self.assertEqual([(node.name, node.partitions) for node in chosen.nodes], [("n1", ("b",))])
        self.assertEqual(chosen.held, [])
        self.assertEqual(choose(found, []), (found, found))

    def test_partitions_that_are_not_shown_count(self) -> None:
        """A node of two partitions has a job of the other; and the line of a job is also that of the other."""
        nodes = [make_node("n1", 1, partitions=("a", "b"))]
        running = Held("9", "ana", ("b",), True, gpus={"p100": 1})
        waiting = [make_waiting("1", "me", 1)._replace(partitions=("a", "b")), make_waiting("2", "ana", 5)]
        other = make_waiting("3", "ana", 7)._replace(partitions=("b",))
        chosen = choose(Free(nodes, [running, *waiting, other]), ["a"])
        self.assertEqual(count_hidden(chosen), 0)
        self.assertEqual([(place.job, place.place, place.of) for place in find_places(chosen, "me")], [("1", 3, 3)])
        self.assertEqual(find_places(choose(chosen.whole, ["c"]), "me"), [])
        hidden = Free([make_node("n1", 3, partitions=("a", "b")), make_node("n2", 2, partitions=("b",))], [running])
        self.assertEqual([count_hidden(choose(hidden, names)) for names in ([], ["a"], ["b"])], [4, 3, 4])


class TextTest(unittest.TestCase):
    def test_foreign_text_is_made_visible(self) -> None:
        evil = "\x1b]0;x\x07"
        node = make_node(evil, partitions=(evil,), state=evil, reason=evil, gpus={evil: 1})
        held = [Held(evil, evil, (evil,), False, reason=evil, start="2026-01-01T00:00:00Z", gpus={evil: 1})]
        device = Device(0, evil, occupants=[Occupant(1, evil, None, evil)])
        for by_node in (False, True):
            for found in (Free([node], held), Free([node], held, [device])):
                text = "\n".join(render_free(choose(found, []), None, evil, by_node, 0))
                self.assertNotIn("\x1b", text)
                self.assertNotIn("\x07", text)

    def test_many_places_are_cut(self) -> None:
        held = [make_waiting(str(number), "me", number) for number in range(1000)]
        lines = list(render_free(choose(Free([], held), []), None, "me", False, 0))
        self.assertIn("980 more", lines[-1])


if __name__ == "__main__":
    unittest.main()
