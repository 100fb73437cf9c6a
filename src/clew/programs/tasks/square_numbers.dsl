task square_numbers (n: int) -> list
about     The squares of the whole numbers below n.
requires  0 <= n && n <= 100
ensures   length result == n
example   0 -> []
example   1 -> [0]
example   3 -> [0, 1, 4]
example   5 -> [0, 1, 4, 9, 16]
example   8 -> [0, 1, 4, 9, 16, 25, 36, 49]
reference map (\x -> x * x) (range n)
