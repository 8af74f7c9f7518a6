import unittest

from table import average, table


class Table(unittest.TestCase):
    def test_averages_line_up(self):
        rows = [("latency", "0.5", "s"), ("energy", "12.0", "s")]
        self.assertEqual(table(rows), "latency   0.5  s\nenergy   12.0  s\n")

    def test_the_average_is_the_sum_over_the_number(self):
        self.assertEqual(average([1, 3]), 2)


if __name__ == "__main__":
    unittest.main()
