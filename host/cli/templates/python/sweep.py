"""Nothing here calls the host, so it can be tested without it."""


def positive(text):
    """The whole number of 1 or more that the text is; a ValueError when it is none."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def mean(values):
    return sum(values) / len(values)
