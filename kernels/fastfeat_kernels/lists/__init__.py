"""Sums of the numbers of each list of a column of lists.

Spec: row i has the numbers values[offsets[i]:offsets[i + 1]], float64, NaN where missing, which is
skipped. Of each row the kernel writes how many numbers there are, and RN(sum), the exact sum
rounded once. Two floats hold the sum; where that is not exact, or not finite on the way, it writes
a flag that is not 0, and the caller adds up that row by other means. Lists of like numbers are
exact: what the second float takes in has few bits.

An entry takes rows [first, first + n) and returns 0; the words of its table stand in `layout`.
Cost: 8 bytes a number and 12 dependent additions. Source: D. Knuth, The Art of Computer
Programming, volume 2, section 4.2.2 (the error of an addition).

On a device (`cuda`) there are more functions of lists, a row a thread: integers are added up in 128
bits, ends are compared as keys in the total order, slices are measured and then written.
"""
