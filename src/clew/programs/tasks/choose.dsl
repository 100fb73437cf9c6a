task choose (flag: bool, n: int, m: int) -> int
about     n where the flag is true, else m.
ensures   result == n || result == m
example   true, 3, 7 -> 3
example   false, 3, 7 -> 7
example   true, -2, 0 -> -2
example   false, 5, -4 -> -4
example   false, 9, 1 -> 1
reference if flag n m
