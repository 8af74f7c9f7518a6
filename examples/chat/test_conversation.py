import unittest

from conversation import Conversation, positive, questions


def words(text):
    return len(text.split())


class Turns(unittest.TestCase):
    def test_the_next_prompt_has_the_last_answer(self):
        talk = Conversation("Talk.", 100, words)
        self.assertEqual(talk.ask("One?"), "Talk.\nQ: One?\nA:")
        talk.answered("One?", " first \nQ: and what it asks itself")
        self.assertEqual(talk.ask("Two?"), "Talk.\nQ: One?\nA: first\nQ: Two?\nA:")
        self.assertEqual(talk.forgotten, 0)

    def test_the_oldest_turns_are_forgotten(self):
        talk = Conversation("Talk.", 9, words)
        for question in ("One?", "Two?"):
            talk.ask(question)
            talk.answered(question, "yes")
        self.assertEqual(talk.ask("Three?"), "Talk.\nQ: Two?\nA: yes\nQ: Three?\nA:")
        self.assertEqual(talk.forgotten, 1)

    def test_a_question_that_never_fits_has_no_prompt(self):
        talk = Conversation("Talk.", 3, words)
        self.assertIsNone(talk.ask("One?"))


class Settings(unittest.TestCase):
    def test_questions_are_separated_and_not_empty(self):
        self.assertEqual(questions("One? | Two?"), ["One?", "Two?"])
        for wrong in ("", "One?|", " | "):
            self.assertRaises(ValueError, questions, wrong)

    def test_a_count_is_a_whole_number_of_one_or_more(self):
        self.assertEqual(positive("40"), 40)
        for wrong in ("0", "-1", "many", ""):
            self.assertRaises(ValueError, positive, wrong)


if __name__ == "__main__":
    unittest.main()
