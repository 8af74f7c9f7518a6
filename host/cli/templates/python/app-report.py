# The build looks for the classes that the world in wit/ exports here.
from report import Report

__all__ = ["Report"]
