"""Nothing here calls the host, so it can be tested without it."""


def table(rows):
    """Rows of name, average and unit, with the averages in a column."""
    # A recording that was interrupted early has no run.
    if not rows:
        return "nothing was measured\n"
    names = max(len(name) for name, _, _ in rows)
    averages = max(len(average) for _, average, _ in rows)
    return "".join(f"{name:{names}}  {average:>{averages}}  {unit}\n" for name, average, unit in rows)


def average(values):
    return sum(values) / len(values)
