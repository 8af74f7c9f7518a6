import unittest

from sweep import mean, positive


class Sweep(unittest.TestCase):
    def test_a_count_is_a_whole_number_of_one_or_more(self):
        self.assertEqual(positive(" 64"), 64)
        for wrong in ("0", "many", ""):
            self.assertRaises(ValueError, positive, wrong)

    def test_the_mean_is_the_sum_over_the_number(self):
        self.assertEqual(mean([1, 3]), 2)


if __name__ == "__main__":
    unittest.main()
