task polynomial (n: int, xs: list) -> int
about     The polynomial with these coefficients, the highest power first, at n.
requires  length xs <= 6 && abs n <= 10
example   3, [-3] -> -3
example   0, [4, 2, -3, 5] -> 5
example   2, [1, 4, 1, -3] -> 23
example   3, [4, 4, 0] -> 48
example   2, [-3, -3, 1, 1] -> -33
reference fold (\x y -> x * n + y) 0 xs
