"""Source code of the helper functions in pandas modules; each module contains those it calls."""

from __future__ import annotations

from fastfeat.tell.peers import pandas_windows

HELPERS: dict[str, str] = {
    "floats": '''
def floats(column):
    """Return numbers as float64, in which missing is NaN."""
    return column.astype("float64")
''',
    "integers": '''
def integers(column, name="int64"):
    """Return whole numbers, in a type with missing values where there are some."""
    return column.astype(name.replace("i", "I").replace("u", "U") if column.hasnans else name)
''',
    "bools": '''
def bools(column):
    """Return bools, in a type with missing values where there are some."""
    return column.astype("boolean" if column.hasnans else "bool")
''',
    "known": '''
def known(result, *sides):
    """Return a comparison, missing where a side is: of NaN and of text pandas says False."""
    for side in sides:
        if side.hasnans:
            result = result.astype("boolean").mask(side.isna())
    return bools(result)
''',
    "holds": '''
def holds(condition):
    """Return whether a condition is true; where it is missing it is not."""
    return condition.fillna(False).astype("bool")
''',
    "choose": '''
def choose(condition, yes, no, name):
    """Return `yes` where the condition holds, else `no`; both are columns or constants."""
    if name == "float64":
        return pd.Series(np.where(condition, yes, no), condition.index)
    other = pd.Series(no, condition.index, dtype=name)
    chosen = other.mask(condition, pd.Series(yes, condition.index, dtype=name))
    return bools(chosen) if name == "boolean" else integers(chosen)
''',
    "divisors": '''
def divisors(column):
    """Return divisors, of which 0 is missing, and so is the result."""
    column = pd.Series(column) if np.isscalar(column) else column
    return column.astype("Int64").mask(column == 0)
''',
    "bins": '''
def bins(column, edges, side):
    """Return the number of the bin of each value; missing has none."""
    found = pd.Series(np.searchsorted(edges, column, side=side), column.index)
    return found.astype("Int64").mask(column.isna()) if column.hasnans else found
''',
    "whole": '''
def whole(column, low, beyond):
    """Return floats without their fractions; what the type does not hold is missing."""
    cut = np.trunc(column)
    return integers(cut.where((cut >= low) & (cut < beyond)).astype("Int64"))
''',
    "as_float32": '''
def as_float32(column):
    """Return floats rounded to float32; what is beyond it is missing."""
    rounded = column.astype("float32").astype("float64")
    return rounded.mask(np.isinf(rounded) & ~np.isinf(column))
''',
    "extreme": '''
def extreme(columns, name):
    """Return the least ("min") or greatest ("max") value of each row, of those that are there."""
    return integers(getattr(pd.concat(columns, axis=1).astype("Int64"), name)(axis=1))
''',
    "look_up": '''
def look_up(keys, table, missing, unseen, name):
    """Return the value of each row's keys in a table, of missing keys and of unknown ones."""
    asked = pd.Index(keys[0]) if len(keys) == 1 else pd.MultiIndex.from_arrays(keys)
    listed = list(table)
    known = pd.Index(listed, asked.dtype) if len(keys) == 1 else pd.MultiIndex.from_tuples(listed)
    places = known.get_indexer(asked)
    is_missing = np.logical_or.reduce([key.isna() for key in keys])
    places = np.where(places < 0, np.where(is_missing, -1, -2), places)
    values = pd.array([*table.values(), unseen, missing], dtype=name)
    return pd.Series(values.take(places % len(values)), keys[0].index)
''',
    "yeo_johnson": '''
def yeo_johnson(column, power):
    """Return values raised by the transformation of Yeo and Johnson."""
    exponent = pd.Series(np.where(column < 0, 2.0 - power, power), column.index)
    size = np.log1p(column.abs())
    raised = (np.expm1(exponent * size) / exponent).mask(exponent == 0, size)
    return raised.mask(column < 0, -raised)
''',
    "box_cox": '''
def box_cox(column, power):
    """Return values raised by the transformation of Box and Cox."""
    size = np.log(column)
    return size if power == 0 else np.expm1(power * size) / power
''',
    "ticks": '''
def ticks(column, name, per):
    """Return moments as whole numbers of a unit since 1970, rounded down."""
    counted = pd.Series(column.to_numpy(name).view("int64") // per, column.index)
    return counted.astype("Int64").mask(column.isna()) if column.hasnans else counted
''',
    "totals": '''
def totals(column, name, per):
    """Return durations as whole numbers of a unit, rounded towards zero."""
    counted = pd.Series(column.to_numpy(name).view("int64"), column.index)
    counted = np.sign(counted) * (counted.abs() // per)
    return counted.astype("Int64").mask(column.isna()) if column.hasnans else counted
''',
    **pandas_windows.HELPERS,
}
