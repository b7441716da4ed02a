"""Sums of the powers of values up to the fourth, exact, and the shape that they say: skewness etc.

`windows` builds on it; `aggregates`, `engine.cpu` and `steps.keys` import it.

Spec: missing values, NaN among them, are skipped; infinities are counted and not added. The sums
S1 to S4 of x to x**4 are exact integers in units of the powers of the lowest bit of a float, or of
1, so states add up, and what is added can be taken away: any split and order says the same. With
n values the central moments are, but for powers of n that fall out,

    A = n S2 - S1**2                                   n**2 times the second
    B = n**2 S3 - 3 n S1 S2 + 2 S1**3                  n**3 times the third
    C = n**3 S4 - 4 n**2 S1 S3 + 6 n S1**2 S2 - 3 S1**4    n**4 times the fourth

all exact. Each integer that follows in brackets is rounded once to 53 bits, RN, and every other
operation is one of float64, whose exponent has no bounds before the last:

    skew                 [B] / ([A] sqrt([A]))
    of a sample          [B] sqrt(RN(n (n - 1))) / ([A] sqrt([A]) (n - 2)), of 3 values or more
    kurtosis             [C - 3 A**2] / [A**2], or [C] / [A**2] that of the normal distribution is 3
    of a sample          [(n**2 - 1) C - 3 (n - 1)**2 A**2] / ([A**2] ((n - 2) (n - 3))), or
                         [(n**2 - 1) C - 3 (3 n - 5) A**2] over the same, of 4 values or more

Both are missing where A is 0, that is of less than two values and of values that are all equal, and
where one is infinite. So skew is within 6, kurtosis within 3 units in the last place of what real
numbers would give, whatever the values are; sums of floats would lose all digits where the mean is
large.

Sums stand as limbs of 32 bits in 64 that hold any float, of which only those are touched that
values reach. Rows of a column are added to a bucket for each exponent instead, in 14 words, which
a call empties into limbs in its end: 8 ns a value on one core, and 230 kB for each run of rows.
Values by group, which the order of groups brings together (`state.shapes_of`), and those that
windows take in and let go (`windows.cpu.shapes`) cost 5 ns where they are integers of 15 bits, 12
for skew and 18 for kurtosis where they are floats; reading a shape takes 0.3 us and 0.6 where these
span less than 2**30, quadratically more beyond. There is no kernel for a device.

In Python:

    state      sums of a column, merged; shapes of groups
    exact      shapes from such sums
    reference  shapes by their definition, from values
"""
