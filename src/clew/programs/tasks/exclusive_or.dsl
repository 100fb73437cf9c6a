task exclusive_or (a: bool, b: bool) -> bool
about     Whether one of two holds, and not both.
example   true, true -> false
example   true, false -> true
example   false, true -> true
example   false, false -> false
reference (a || b) && not (a && b)
