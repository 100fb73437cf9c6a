task parity (xs: list) -> int
about     The remainder of the sum when it is divided by 2.
ensures   result == 0 || result == 1
example   [8, 7] -> 1
example   [9, -2, -6, 6, -8, -9, 9] -> 1
example   [3, -1, -3, -4, -6, 2] -> 1
example   [4, -3, -7, 4] -> 0
example   [9, 2, 8, -8, -4, 0, 2, -5, 3] -> 1
reference sum xs % 2
