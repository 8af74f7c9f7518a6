"""Nothing here calls the host, so it can be tested without it."""


class Conversation:
    """What was asked and answered so far, as a prompt that fits the model's context."""

    def __init__(self, opening, most_tokens, count_tokens):
        """`count_tokens` says how many tokens a text has; a prompt has at most `most_tokens`."""
        self.opening = opening
        self.most_tokens = most_tokens
        self.count_tokens = count_tokens
        self.turns = []
        self.forgotten = 0

    def ask(self, question):
        """The prompt for the next answer. Where it would be too long, the oldest turns are forgotten; None when even the question
        alone is."""
        while self.count_tokens(self.prompt(question)) > self.most_tokens:
            if not self.turns:
                return None
            self.turns.pop(0)
            self.forgotten += 1
        return self.prompt(question)

    def answered(self, question, answer):
        """Keeps a turn. An answer ends where the model goes on to ask itself."""
        self.turns.append((question, answer.split("\nQ:")[0].strip()))

    def prompt(self, question):
        turns = "".join(f"Q: {asked}\nA: {answer}\n" for asked, answer in self.turns)
        return f"{self.opening}\n{turns}Q: {question}\nA:"


def questions(text):
    """The questions of a setting: separated by `|`, none of them empty; a ValueError when there is none or one is empty."""
    found = [question.strip() for question in text.split("|")]
    if not all(found):
        raise ValueError(text)
    return found


def positive(text):
    """The whole number of 1 or more that the text is; a ValueError when it is none."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number

