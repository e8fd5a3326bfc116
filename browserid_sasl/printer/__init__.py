"""What a token says, for a person to read.

    for line in lines(describe(octets, now=system_clock())):
        print(line)

Nothing is believed: what is malformed is shown as far as it can be read, with what is wrong with
it. Nothing secret is shown: of signatures the beginning, of keys their kind and size, and what is
sealed only by its size. What is written is safe for a terminal and a log.
"""

from browserid_sasl.printer.node import Mood, Node, lines
from browserid_sasl.printer.recognition import Encoding, decode, describe

__all__ = ["Encoding", "Mood", "Node", "decode", "describe", "lines"]
